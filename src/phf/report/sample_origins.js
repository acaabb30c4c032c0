"use strict";
// Where a sample comes from, where `phf audit` has looked for that. Texts become text nodes only.
const SampleOrigins = (() => {
  const {element, number, visible} = SampleText;

  /** A few words for the header of a sample. */
  function badge(origin) {
    return element("span", `origin ${origin.kind}`, visible(origin.badge));
  }

  /** What was found, to be unfolded. */
  function panel(origin) {
    const details = element("details", "origins");
    details.append(element("summary", "", "Where this comes from"), element("p", "note", visible(origin.data)));
    const said = element("ul");
    said.append(...origin.sentences.map(sentence => element("li", "", visible(sentence))));
    details.append(said);
    if (origin.segments.length) details.append(element("p", "note", "Most like it, by n-grams, hidden states or gradients:"));
    for (const [before, common, after, facts] of origin.segments) {
      const pre = element("pre", "", undefined, {tabindex: "0", role: "group", "aria-label": "Segment of the data"});
      const mark = element("span", "copied-span", visible(common));
      pre.append(visible(before), mark, visible(after));
      details.append(pre, element("p", "note", visible(facts)));
    }
    return details;
  }

  return {badge, panel};
})();
