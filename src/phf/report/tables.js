"use strict";
// A table is sorted by the column whose head is pressed: ascending, then descending, then as it was.
(() => {
  const NEXT = { ascending: "descending", descending: "none", none: "ascending" };
  const FEWEST = 3; // rows that are worth sorting

  const said = (row, column) => (row.cells[column].firstChild?.textContent ?? "").trim();

  // Numbers come before words, and what was not measured comes last, whatever the order.
  const compare = (first, second, sign) => {
    const [a, b] = [first, second].map((text) => Number.parseFloat(text.replaceAll(",", "")));
    const rank = (text, number) => (text === "" || text === "–" ? 2 : Number.isNaN(number) ? 1 : 0);
    const [rankA, rankB] = [rank(first, a), rank(second, b)];
    if (rankA !== rankB) return rankA - rankB;
    return sign * (rankA === 0 ? a - b : first.localeCompare(second, "en", { numeric: true }));
  };

  for (const table of document.querySelectorAll("main table")) {
    const [heads, body] = [table.tHead?.rows, table.tBodies[0]];
    const rows = [...(body?.rows ?? [])];
    const spans = table.querySelector("[rowspan], [colspan]");
    if (heads?.length !== 1 || rows.length < FEWEST || spans) continue;
    const cells = [...heads[0].cells];
    cells.forEach((head, column) => {
      const button = document.createElement("span"); // a real button is not printed where the head is repeated
      button.role = "button";
      button.tabIndex = 0;
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        button.click();
      });
      button.addEventListener("click", () => {
        const order = NEXT[head.ariaSort ?? "none"];
        for (const cell of cells) cell.removeAttribute("aria-sort");
        const sign = order === "descending" ? -1 : 1;
        if (order !== "none") head.ariaSort = order;
        const sorted = [...rows].sort((a, b) => compare(said(a, column), said(b, column), sign));
        body.append(...(order === "none" ? rows : sorted));
      });
    });
  }
})();
