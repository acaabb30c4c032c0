// On the page of messages: a field to paste a message into, with its names and numbers, and the entries that it may be of.
const words = (text) => text.toLowerCase().match(/[\p{L}\d]+/gu) ?? [];

function entriesOf(page) {
  return [...page.querySelectorAll("h3")].map((heading) => {
    const parts = [heading];
    while (parts.at(-1).nextElementSibling && !/^H[123]$/.test(parts.at(-1).nextElementSibling.tagName))
      parts.push(parts.at(-1).nextElementSibling);
    const texts = parts.flatMap((part) => [...part.querySelectorAll("li")]).map((item) => item.textContent);
    return { parts, messages: texts.map((text) => new Set(words(text))) };
  });
}

// The share of the message's own words that were pasted, or of the pasted words that are the message's, whichever is larger.
function likeness(pasted, message) {
  const common = [...message].filter((word) => pasted.has(word)).length;
  return common < 2 ? 0 : Math.max(common / message.size, common / pasted.size) + common / 1000;
}

function show(list, entries, text) {
  const pasted = new Set(words(text));
  for (const group of list.querySelectorAll("h2")) group.hidden = pasted.size >= 2;
  const scores = entries.map(({ messages }) => Math.max(0, ...messages.map((message) => likeness(pasted, message))));
  const best = Math.max(...scores);
  entries.forEach(({ parts }, index) => {
    const isShown = pasted.size < 2 || (best > 0 && scores[index] >= best - 0.15);
    for (const part of parts) part.hidden = !isShown;
  });
}

const list = document.querySelector(".all-messages");
if (list) {
  const field = document.createElement("textarea");
  field.placeholder = "Paste a message, or a piece of it";
  field.setAttribute("aria-label", field.placeholder);
  field.className = "message-field";
  const entries = entriesOf(list);
  field.addEventListener("input", () => show(list, entries, field.value));
  list.querySelector("h2").before(field);
}
