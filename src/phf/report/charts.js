"use strict";
// The value under the pointer, or of the point that the arrow keys have reached, beside it.
(() => {
  const NEAR = 28; // pixels of the drawing
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);

  const points = (series) => (series.said ??= JSON.parse(series.dataset.points));

  const hide = () => {
    tip.hidden = true;
    document.querySelectorAll(".is-shown").forEach((shown) => shown.classList.remove("is-shown"));
  };

  addEventListener("resize", () => hide()); // the chart is elsewhere now

  const show = (chart, series, index) => {
    hide();
    const [x, y, xSaid, ySaid] = points(series)[index];
    tip.replaceChildren();
    for (const line of [series.dataset.name, `${chart.dataset.y}: ${ySaid}`, `${chart.dataset.x}: ${xSaid}`, series.dataset.note]) {
      if (line) tip.append(Object.assign(document.createElement("div"), { textContent: line }));
    }
    tip.hidden = false;
    series.classList.add("is-shown");
    const at = new DOMPoint(x, y).matrixTransform(chart.getScreenCTM());
    const width = document.documentElement.clientWidth;
    tip.style.left = `${Math.max(4, Math.min(at.x + 12, width - tip.offsetWidth - 4)) + scrollX}px`;
    tip.style.top = `${at.y - tip.offsetHeight - 10 + (at.y - tip.offsetHeight < 14 ? tip.offsetHeight + 24 : 0) + scrollY}px`;
  };

  const nearest = (chart, event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let best = null;
    for (const series of chart.querySelectorAll("[data-points]")) {
      points(series).forEach(([x, y], index) => {
        const distance = Math.hypot(x - at.x, y - at.y);
        if (distance < (best?.distance ?? NEAR)) best = { series, index, distance };
      });
    }
    return best;
  };

  for (const chart of document.querySelectorAll("svg.chart")) {
    chart.addEventListener("pointermove", (event) => {
      const found = nearest(chart, event);
      if (found) show(chart, found.series, found.index);
      else hide();
    });
    chart.addEventListener("pointerleave", hide);
    for (const series of chart.querySelectorAll("[data-points]")) {
      let index = 0;
      series.addEventListener("focus", () => show(chart, series, index));
      series.addEventListener("blur", hide);
      series.addEventListener("keydown", (event) => {
        const last = points(series).length - 1;
        const moves = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: last };
        if (event.key === "Escape") return hide();
        if (!(event.key in moves)) return;
        event.preventDefault();
        index = Math.max(0, Math.min(last, moves[event.key]));
        show(chart, series, index);
      });
    }
  }
})();
