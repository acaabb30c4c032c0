"use strict";
// A sample as elements. Texts become text nodes only: nothing in them is ever parsed as HTML.
const SampleText = (() => {
  // What phf.text.visible_text escapes: controls, directions and joiners, surrogates, unassigned, separators.
  const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
  const PYTHON = new RegExp([
    /(?<string>"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)/,
    /(?<comment>#[^\n]*)/,
    /(?<keyword>\b(?:False|None|True|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield)\b)/,
    /(?<number>\b\d[\w.]*)/,
  ].map(part => part.source).join("|"), "g");

  function visible(text) {
    return text.replace(UNSEEN, character => {
      if (character === "\r") return "\\r";
      const code = character.codePointAt(0);
      const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
      return "\\" + letter + code.toString(16).padStart(digits, "0");
    });
  }

  function element(name, className, text, attributes = {}) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function number(value) {
    return value === null ? "–" : String(Number(value.toPrecision(4)));
  }

  /** [start, end, kind] of what is coloured in Python. */
  function tokens(text) {
    return Array.from(text.matchAll(PYTHON), match => {
      const kind = Object.keys(match.groups).find(key => match.groups[key] !== undefined);
      return [match.index, match.index + match[0].length, kind];
    });
  }

  /**
   * Append `text`, with an element around each part that a token [start, end, kind], a detection [start, end, label] or
   * `copied` [start, end, what] covers.
   */
  function appendPieces(parent, text, coloured, detected, copied = []) {
    const marks = [["kind", coloured], ["label", detected], ["copy", copied]]
      .flatMap(([what, some]) => some.map(each => [...each, what]))
      .map(([start, end, ...rest]) => [Math.max(start, 0), Math.min(end, text.length), ...rest])
      .filter(([start, end]) => start < end).sort((a, b) => a[0] - b[0]);
    const cuts = [...new Set([0, text.length, ...marks.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
    let next = 0, active = [];
    for (let i = 0; i + 1 < cuts.length; i++) {
      const [start, end] = [cuts[i], cuts[i + 1]];
      active = active.filter(mark => mark[1] > start);
      while (next < marks.length && marks[next][0] === start) active.push(marks[next++]);
      const covering = what => active.filter(mark => mark[3] === what).map(mark => mark[2]);
      const [kind] = covering("kind");
      const names = [...new Set(covering("label"))].join(", ");
      let piece = document.createTextNode(visible(text.slice(start, end)));
      if (kind) { const token = element("span", "code-" + kind); token.append(piece); piece = token; }
      if (names) { const detection = element("u", "", undefined, {title: visible(names)}); detection.append(piece); piece = detection; }
      const [copy] = covering("copy");
      if (copy) { const span = element("span", "copied-span", undefined, {title: copy}); span.append(piece); piece = span; }
      parent.append(piece);
    }
  }

  /**
   * The text of a sample, and a line for the number of the segment that is pointed at.
   * prompt: null where it is not shown; scale: scores with no and with full colour.
   */
  function text(sample, {prompt, threshold, scale, isCode, showScores, name}) {
    const [segments, scores, detected, leftOut, , origin] = sample;
    const pre = element("pre", "", undefined, {tabindex: "0", role: "group", "aria-label": "Text of " + name});
    const note = element("p", "note segment-note", "", {"aria-live": "polite"});
    const whole = (prompt ?? "") + segments.join("");
    const coloured = isCode ? tokens(whole) : [];
    let at = 0, passed = 0, offset = 0;
    const [copyStart, copyEnd] = origin?.copied ?? [0, 0];
    const take = length => {  // the tokens of the next part of the text, with offsets in it
      const part = [];
      while (passed < coloured.length && coloured[passed][1] <= at) passed++;
      for (let i = passed; i < coloured.length && coloured[i][0] < at + length; i++) {
        const [start, end, kind] = coloured[i];
        part.push([start - at, end - at, kind]);
      }
      at += length;
      return part;
    };
    if (prompt) {
      const first = element("span", "prompt");
      appendPieces(first, prompt, take(prompt.length), []);
      pre.append(first);
    }
    segments.forEach((segment, i) => {
      const score = scores[i];
      const labels = detected.filter(each => each[0] === i).map(each => each.slice(1));
      const names = [...new Set(labels.map(each => each[2]))].join(", ");
      const isBad = score !== null && score > threshold;
      const says = (score === null ? "not scored" : "score " + number(score)) + (names && "; " + visible(names));
      const part = element(isBad ? "mark" : "span", "segment", undefined, {tabindex: "-1", title: says});
      const heat = score === null ? 0 : (score - scale[0]) / (scale[1] - scale[0]);
      part.style.setProperty("--heat", Math.min(Math.max(heat, 0), 1).toFixed(3));
      part.dataset.says = `Segment ${i + 1} of ${segments.length}: ${says}`;
      const copied = copyStart < copyEnd ? [[copyStart - offset, copyEnd - offset, "longest span in a segment of the data"]] : [];
      appendPieces(part, segment, take(segment.length), labels, copied);
      offset += segment.length;
      // before the segment: behind one that ends its line, the number would be on the next
      if (showScores && score !== null) pre.append(element("sup", "segment-score", number(score)));
      pre.append(part);
    });
    if (leftOut) pre.append(element("em", "", `… (${leftOut.toLocaleString("en")} characters left out)`));

    const say = event => {
      const part = event.target.closest(".segment");
      if (part) note.textContent = part.dataset.says;
    };
    pre.addEventListener("mouseover", say);
    pre.addEventListener("focusin", say);
    pre.addEventListener("keydown", event => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      const parts = Array.from(pre.querySelectorAll(".segment"));
      const next = parts[parts.indexOf(document.activeElement) + step];
      if (next) next.focus();
      event.preventDefault();
    });
    return [pre, note];
  }

  return {element, number, text, visible};
})();
