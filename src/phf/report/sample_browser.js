"use strict";
// The sample browser: which samples, in which order, of which models; their texts are unpacked when they are needed.
(() => {
  const root = document.getElementById("sample-browser");
  if (root === null) return;
  const {element, number, text, visible} = SampleText;
  const control = name => root.querySelector(`[name="${name}"]`);
  const SAMPLES_SHOWN = 20, PAIRS_SHOWN = 10;  // at a time
  const TYPING = 250;  // milliseconds without a key until what was typed is applied
  const chunks = new Map();
  let index, shown = [], first = 0;
  let turn = 0;  // what was begun for an earlier choice must not overwrite a later one
  let isChoosing = false;

  async function unpack(id) {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  function chunk(number) {
    if (!chunks.has(number)) chunks.set(number, unpack(`samples-${number}`));
    return chunks.get(number);
  }

  /** The sample at a position of a set, and its prompt as [text, characters left out]. */
  async function load([set, position]) {
    const {chunks: numbers, prompts} = set;
    const own = await chunk(numbers[Math.floor(position / index.chunkSize)]);
    const wanted = prompts[position];
    let low = 0, high = index.prompts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (index.prompts[middle][0] <= wanted) low = middle; else high = middle - 1;
    }
    const [start, holder] = index.prompts[low];
    return {sample: own.samples[position % index.chunkSize], prompt: (await chunk(holder)).prompts[wanted - start]};
  }

  const score = ([set, position]) => set.scores[position];

  /** Whether it was looked for where a sample comes from, with a wanted result; see `samples.html.j2`. */
  function isFrom([set, position], wanted) {
    return !wanted || wanted.split(" ").includes(set.origins?.[position] ?? "");
  }

  /** Samples as [sample], pairs as [sample of one model, sample of the other]; each sample as [set, position]. */
  function candidates(model, scenario, other) {
    const ours = index.sets.filter(set => (!model || set.model === model) && (!scenario || set.scenario === scenario));
    if (!other) return ours.flatMap(set => set.scores.map((_, position) => [[set, position]]));
    return ours.flatMap(set => {
      const theirs = index.sets.filter(each => each.model === other);
      const same = theirs.filter(each => each.scenario === set.scenario);
      const places = new Map();
      for (const each of same.length ? same : theirs) {
        each.prompts.forEach((prompt, position) => {
          const key = prompt + " " + each.occurrences[position];
          if (!places.has(key)) places.set(key, [each, position]);
        });
      }
      return set.prompts.flatMap((prompt, position) => {
        const place = places.get(prompt + " " + set.occurrences[position]);
        return place ? [[[set, position], place]] : [];
      });
    });
  }

  const ORDERS = {
    worst: items => sorted(items, item => -score(item[0]), item => score(item[0]) === null),
    best: items => sorted(items, item => score(item[0]), item => score(item[0]) === null),
    worse: items => sorted(items, item => -difference(item), item => difference(item) === null),
    better: items => sorted(items, item => difference(item), item => difference(item) === null),
    unscored: items => sorted(items, item => Number(score(item[0]) !== null), () => false),
    prompt: items => sorted(items, ([[set, position]]) => set.prompts[position] * 1e6 + set.occurrences[position], () => false),
  };

  function difference(pair) {
    const [ours, theirs] = pair.map(score);
    return pair.length < 2 || ours === null || theirs === null ? null : theirs - ours;
  }

  function sorted(items, key, isLast) {
    return items.map((item, i) => [isLast(item) ? Infinity : key(item), i, item])
      .sort((a, b) => (a[0] === b[0] ? a[1] - b[1] : a[0] - b[0])).map(each => each[2]);
  }

  async function containing(items, wanted, isCurrent) {
    const kept = [];
    for (let i = 0; i < items.length; i++) {
      if (i % 2000 === 0) {
        say(`Searching: ${Math.round(100 * i / items.length)}%`);
        await new Promise(resolve => setTimeout(resolve));
        if (!isCurrent()) return kept;
      }
      for (const place of items[i]) {
        const {sample, prompt} = await load(place);
        const whole = (sample[4] ? "" : prompt[0]) + sample[0].join("");
        if (whole.toLowerCase().includes(wanted)) { kept.push(items[i]); break; }
      }
    }
    return kept;
  }

  const pageSize = () => control("other").value ? PAIRS_SHOWN : SAMPLES_SHOWN;

  function say(message) { root.querySelector(".count").textContent = message; }

  async function choose() {
    const mine = ++turn, isCurrent = () => mine === turn;
    isChoosing = true;
    for (const name of [".previous", ".next"]) root.querySelector(name).disabled = true;
    const other = control("other").value;
    if (other && !control("model").value) {
      control("model").value = index.sets.map(set => set.model).find(model => model !== other) ?? other;
    }
    const [least, most] = ["least", "most"].map(name => control(name).valueAsNumber);
    const isIn = value => (Number.isNaN(least) && Number.isNaN(most)) ||
      (value !== null && !(value < least) && !(value > most));
    const origin = control("origin")?.value;
    const chosen = candidates(control("model").value, control("scenario").value, other)
      .filter(item => isIn(score(item[0])) && isFrom(item[0], origin));
    let items = ORDERS[control("order").value](chosen);
    const wanted = control("text").value.toLowerCase();
    if (wanted) items = await containing(items, wanted, isCurrent);
    if (!isCurrent()) return;
    [shown, first, isChoosing] = [items, 0, false];
    await show();
  }

  async function show() {
    const mine = ++turn;
    const items = shown.slice(first, first + pageSize());
    const loaded = await Promise.all(items.map(item => Promise.all(item.map(load))));
    if (mine !== turn) return;
    const cards = items.map((item, i) => item.length === 1 ? card(item[0], loaded[i][0], true) : pair(item, loaded[i]));
    root.querySelector(".shown").replaceChildren(...cards);
    root.querySelector(".shown").classList.toggle("pairs", Boolean(control("other").value));
    const what = control("other").value ? "pairs" : "samples";
    const last = first + items.length;
    say(items.length ? `${first + 1} to ${last} of ${shown.length.toLocaleString("en")} ${what}` :
      control("other").value ? "No prompt in this choice has a sample of both models." : "No sample is like that.");
    root.querySelector(".previous").disabled = first === 0;
    root.querySelector(".next").disabled = last >= shown.length;
    root.dataset.state = "ready";
  }

  function card([set, position], {sample, prompt}, withPrompt) {
    const name = `${set.model}, ${set.scenario}`;
    const article = element("article", "sample");
    const header = element("header");
    const value = set.scores[position];
    const origin = sample[5];
    header.append(element("span", "", name), ...(origin ? [SampleOrigins.badge(origin)] : []),
      element("span", "", value === null ? "not scored" : "score " + number(value)));
    const isApart = withPrompt && !sample[4];
    const [pre, note] = text(sample, {
      prompt: isApart ? whole(prompt) : null, threshold: set.threshold, scale: index.scales[set.scorer],
      isCode: control("code").checked && (set.isCode || !index.sets.some(each => each.isCode)), showScores: control("numbers").checked, name,
    });
    article.append(header, pre, note, ...(origin ? [SampleOrigins.panel(origin)] : []));
    return article;
  }

  function pair(places, loaded) {
    const section = element("section", "pair");
    const isShared = loaded.every(({sample}) => !sample[4]) && loaded[0].prompt[0] !== "";
    section.append(element("p", "note", comparison(places)));
    if (isShared) {
      section.append(element("pre", "prompt", visible(whole(loaded[0].prompt)), {tabindex: "0", role: "group", "aria-label": "Prompt"}));
    }
    const cards = element("div", "samples");
    cards.append(...places.map((place, i) => card(place, loaded[i], !isShared)));
    section.append(cards);
    return section;
  }

  function comparison(places) {
    const change = difference(places);
    const [ours, theirs] = places.map(([set]) => set.model);
    if (change === null) return "Not both are scored.";
    if (change === 0) return "Both have the same score.";
    return `${theirs} scores ${number(Math.abs(change))} ${change > 0 ? "higher (worse)" : "lower (better)"} than ${ours}.`;
  }

  function whole([prompt, leftOut]) {
    return prompt + (leftOut ? `… (${leftOut.toLocaleString("en")} characters left out) ` : "");
  }

  function fill(select, names) {
    select.append(...[...new Set(names)].map(name => element("option", "", name, {value: name})));
  }

  function legend() {
    const scales = Object.entries(index.scales);
    root.querySelector(".legend").append(...scales.map(([scorer, [low, high]]) => {
      const line = element("span", "scale");
      const name = scorer && scales.length > 1 ? `${scorer}: ` : "";
      line.append(`${name}${number(low)} `, element("span", "bar"), ` ${number(high)} or more`);
      return line;
    }));
  }

  async function begin() {
    index = await unpack("samples-index");
    fill(control("model"), index.sets.map(set => set.model));
    fill(control("other"), index.sets.map(set => set.model));
    fill(control("scenario"), index.sets.map(set => set.scenario));
    control("code").checked = index.sets.some(set => set.isCode);
    legend();
    let waiting;
    root.querySelector(".filters").addEventListener("input", ({target}) => {
      if (target.type === "checkbox") {
        if (!isChoosing) show();
        return;
      }
      if (target.name === "other") {
        root.querySelector("optgroup").disabled = !target.value;
        control("order").value = target.value ? "worse" : "worst";
      }
      clearTimeout(waiting);
      waiting = setTimeout(choose, target.tagName === "SELECT" ? 0 : TYPING);
    });
    for (const [name, step] of [["previous", -1], ["next", 1]]) {
      root.querySelector("." + name).addEventListener("click", async () => {
        first = Math.min(Math.max(first + step * pageSize(), 0), Math.max(shown.length - 1, 0));
        await show();
        root.scrollIntoView();
      });
    }
    await choose();
    root.hidden = false;
    document.getElementById("some-samples").hidden = true;
  }

  begin().catch(error => {  // an old browser without DecompressionStream, or a damaged page
    root.hidden = true;
    document.getElementById("some-samples").hidden = false;
    document.getElementById("samples-note").textContent =
      `This browser could not unpack the samples (${error.message}): a few of each model are shown.`;
  });
})();
