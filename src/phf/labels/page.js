const MEANT_AFTER = 400;  // ms: what comes sooner is the rest of a double click on the question before
const shown = performance.now();
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const button = [...document.querySelectorAll("button[data-key]")].find(b => b.dataset.key === event.key.toLowerCase());
  if (button) { event.preventDefault(); button.click(); }
});
document.addEventListener("submit", event => {
  if (event.target.dataset.sent || performance.now() - shown < MEANT_AFTER) return event.preventDefault();
  event.target.dataset.sent = "1";
});
addEventListener("pageshow", event => {
  if (event.persisted) location.replace("./");  // an earlier question, kept by the browser
});
