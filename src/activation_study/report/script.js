"use strict";
// Adds to a page that is whole without it: sorting, filtering, both kept in the address, a theme, unzipped downloads.
// The address: #anchor?sort=table:column:direction&filter=table:text&only=table:activation&pick=verdict:value&choose=column:value&lit=activation&play=…
(() => {
  const tables = [...document.querySelectorAll(".table")];
  const ledger = document.querySelector(".ledger");
  const chooser = document.getElementById("table-chooser");
  const called = new Map([...document.querySelectorAll("[data-activation]")].map((one) => [one.dataset.activation, one.querySelector("title").textContent.split(":")[0]]));
  const state = { anchor: "", sort: {}, filter: {}, only: {}, pick: {}, choose: {}, lit: "", play: "" };

  const guarded = (action) => {
    try { return action(); } catch { return undefined; } // storage and history are closed to sandboxed pages
  };

  function value(row, column) {
    const cell = row.cells[column];
    return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.textContent.trim();
  }

  function compare(a, b) {
    const numbers = typeof a === "number" && typeof b === "number";
    return numbers ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function sortBy(table, column, direction) {
    const body = table.querySelector("tbody");
    const numeric = table.querySelectorAll("thead th")[column].classList.contains("number");
    const missing = (row) => numeric && typeof value(row, column) !== "number"; // stays last, either way
    const rows = [...body.rows].sort((a, b) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b);
      return compare(value(a, column), value(b, column)) * (direction === "descending" ? -1 : 1);
    });
    body.append(...rows);
    table.querySelectorAll("thead th").forEach((head, index) => {
      if (index === column) head.setAttribute("aria-sort", direction);
      else head.removeAttribute("aria-sort");
    });
  }

  const words = (text) => text.toLowerCase().split(/[\s,;:()=]+/).filter(Boolean);
  const texts = (row) => [...row.querySelectorAll("th, td:not(.number)")].map((cell) => cell.textContent.trim());

  // Rows of the activation that hold every word; while one of them is typed and is not yet any, its beginning counts.
  function filter(table) {
    const text = state.filter[table.id] ?? "";
    const only = state.only[table.id] ?? "";
    const rows = [...table.querySelectorAll("tbody tr")];
    const own = rows.filter((row) => !only || texts(row).includes(only));
    const wanted = words(text);
    const of = new Map(own.map((row) => [row, words(row.textContent)]));
    const held = (matches) => own.filter((row) => wanted.every((word) => of.get(row).some((one) => matches(one, word))));
    const whole = held((one, word) => one === word);
    const shown = new Set(whole.length ? whole : held((one, word) => one.startsWith(word)));
    for (const row of rows) row.hidden = !shown.has(row);
    table.querySelector(".filter output").textContent = text || only ? `${shown.size} of ${rows.length} rows` : "";
  }

  function addFilter(table) {
    const line = Object.assign(document.createElement("div"), { className: "filter" });
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "search", autocomplete: "off" });
    label.append("Show rows with ", input);
    line.append(label);
    const rows = [...table.querySelectorAll("tbody tr")];
    const held = rows.map(texts);
    const names = [...new Set(called.values())].filter((name) => held.filter((of) => of.includes(name)).length > 1);
    const select = Object.assign(document.createElement("select"), { name: "activation" });
    if (names.length > 1) {
      select.append(new Option("any", ""), ...names.map((name) => new Option(name, name)));
      const choice = document.createElement("label");
      choice.append("Activation ", select);
      line.append(choice);
    }
    line.append(document.createElement("output"));
    table.querySelector(".scroll").before(line);
    for (const [control, kind] of [[input, "filter"], [select, "only"]]) {
      control.addEventListener("input", () => {
        state.anchor = table.id;
        state[kind][table.id] = control.value;
        filter(table);
        writeAddress();
      });
    }
  }

  function pickClaims() {
    const wanted = Object.entries(state.pick).filter(([, value]) => value);
    const claims = [...ledger.querySelectorAll(".claim")];
    for (const claim of claims) {
      claim.hidden = !wanted.every(([key, value]) => claim.dataset[key].split("|").includes(value));
    }
    for (const group of ledger.querySelectorAll(".group")) group.hidden = !group.querySelector(".claim:not([hidden])");
    const shown = claims.filter((claim) => !claim.hidden).length;
    ledger.querySelector(".picks output").textContent = wanted.length ? `${shown} of ${claims.length} claims` : "";
    for (const select of ledger.querySelectorAll(".picks select")) select.value = state.pick[select.name] ?? "";
  }

  function addPicks() {
    const row = Object.assign(document.createElement("div"), { className: "picks" });
    for (const key of ["verdict", "section", "type", "file"]) {
      const values = [...ledger.querySelectorAll(".claim")].flatMap((claim) => claim.dataset[key].split("|"));
      if (key === "file" && new Set(values).size < 2) continue;
      const select = Object.assign(document.createElement("select"), { name: key });
      select.append(new Option("any", ""), ...[...new Set(values)].map((value) => new Option(value, value)));
      select.addEventListener("change", () => {
        state.anchor = ledger.id;
        state.pick[key] = select.value;
        pickClaims();
        writeAddress();
      });
      const label = document.createElement("label");
      label.append(`${key[0].toUpperCase()}${key.slice(1)}`, select);
      row.append(label);
    }
    row.append(document.createElement("output"));
    ledger.prepend(row);
  }

  // The chooser's first four columns are the situation: one choice of each leaves one row.
  function choose() {
    for (const select of chooser.querySelectorAll(".picks select")) select.value = state.choose[select.name];
    for (const row of chooser.querySelectorAll("tbody tr")) {
      row.hidden = Object.entries(state.choose).some(([column, value]) => row.cells[column].textContent !== value);
    }
  }

  function addChoices() {
    const picks = Object.assign(document.createElement("div"), { className: "picks" });
    const rows = [...chooser.querySelectorAll("tbody tr")];
    for (const column of ["0", "1", "2", "3"]) {
      const values = [...new Set(rows.map((row) => row.cells[column].textContent))];
      const select = Object.assign(document.createElement("select"), { name: column });
      select.append(...values.map((value) => new Option(value, value)));
      select.addEventListener("change", () => {
        state.anchor = chooser.id;
        state.choose[column] = select.value;
        choose();
        writeAddress();
      });
      const label = document.createElement("label");
      label.append(chooser.querySelectorAll("thead th")[column].textContent, select);
      picks.append(label);
      state.choose[column] = (rows[Number(chooser.dataset.opens)] ?? rows[0]).cells[column].textContent;
    }
    const heads = [...chooser.querySelectorAll("thead th")].map((head) => head.textContent);
    for (const row of rows) [...row.cells].forEach((cell, column) => { cell.dataset.label = heads[column]; });
    chooser.querySelector(".scroll").before(picks);
    chooser.open = true;
    chooser.classList.add("chosen");
    choose();
  }

  function writeAddress() {
    const query = new URLSearchParams();
    for (const [id, [column, direction]] of Object.entries(state.sort)) query.append("sort", `${id}:${column}:${direction}`);
    for (const kind of ["filter", "only"]) {
      for (const [id, text] of Object.entries(state[kind])) if (text) query.append(kind, `${id}:${text}`);
    }
    for (const [key, text] of Object.entries(state.pick)) if (text) query.append("pick", `${key}:${text}`);
    if (state.anchor === chooser?.id) for (const [column, value] of Object.entries(state.choose)) query.append("choose", `${column}:${value}`);
    if (state.lit) query.append("lit", state.lit);
    if (state.play) query.append("play", state.play);
    const suffix = query.size ? `?${query}` : "";
    guarded(() => history.replaceState(null, "", `#${state.anchor}${suffix}`));
  }

  function readAddress() {
    const [anchor, query] = location.hash.slice(1).split(/\?(.*)/s);
    state.anchor = anchor;
    for (const entry of new URLSearchParams(query ?? "").getAll("sort")) {
      const [id, column, direction] = entry.split(":");
      const table = document.getElementById(id);
      if (!table?.querySelectorAll("thead th")[column] || !/^(a|de)scending$/.test(direction)) continue;
      state.sort[id] = [Number(column), direction];
      sortBy(table, Number(column), direction);
    }
    for (const [kind, control] of [["filter", "input"], ["only", "select"]]) {
      for (const entry of new URLSearchParams(query ?? "").getAll(kind)) {
        const [id, text] = entry.split(/:(.*)/s);
        const field = document.getElementById(id)?.querySelector(`.filter ${control}`);
        if (!field) continue;
        field.value = text;
        state[kind][id] = field.value;
        filter(document.getElementById(id));
      }
    }
    for (const entry of new URLSearchParams(query ?? "").getAll("pick")) {
      const [key, text] = entry.split(/:(.*)/s);
      const choices = ledger?.querySelectorAll(`.picks select[name="${CSS.escape(key)}"] option`) ?? [];
      if (![...choices].some((one) => one.value === text)) continue;
      state.pick[key] = text;
      pickClaims();
    }
    for (const entry of new URLSearchParams(query ?? "").getAll("choose")) {
      const [column, text] = entry.split(/:(.*)/s);
      const choices = chooser?.querySelectorAll(`.picks select[name="${CSS.escape(column)}"] option`) ?? [];
      if (![...choices].some((one) => one.value === text)) continue;
      state.choose[column] = text;
      choose();
    }
    light(new URLSearchParams(query ?? "").get("lit") ?? state.lit);
    state.play = new URLSearchParams(query ?? "").get("play") ?? state.play;
    if (state.play) dispatchEvent(new CustomEvent("play", { detail: state.play }));
    // Addresses of before, such as claim-C01.1, go on to work.
    const target = document.getElementById(anchor) ?? document.getElementById(anchor.toLowerCase().replaceAll(".", "-"));
    // What the address points at opens: the target itself, what folds it, and a section's own fold.
    const own = target?.querySelector(":scope > details");
    for (let node = own ?? target; node; node = node.parentElement) if (node instanceof HTMLDetailsElement) node.open = true;
    if (target && (query || own || target.closest("details"))) target.scrollIntoView();
  }

  if (chooser) addChoices();

  for (const table of tables) {
    if (table === chooser || table.id === "table-situations") continue; // one row, or in reading order: nothing to sort
    if (table.querySelectorAll("tbody tr").length < 4) continue; // read at a glance
    table.querySelectorAll("thead th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        state.anchor = table.id;
        state.sort[table.id] = [column, up ? "ascending" : "descending"];
        sortBy(table, ...state.sort[table.id]);
        writeAddress();
      });
    });
    if (table.querySelectorAll("tbody tr").length < 8) continue;
    addFilter(table);
  }

  if (ledger) addPicks();
  for (const link of document.querySelectorAll("[data-pick]")) {
    link.hash = `${ledger.id}?pick=verdict:${link.dataset.pick}&pick=file:${link.dataset.file}`;
    link.addEventListener("click", () => { state.pick = {}; }); // what was chosen before would hide some of them
  }

  // A gzipped download becomes plain CSV where the browser can unzip; elsewhere the link works as it is.
  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("a.csv[download$='.gz']");
    if (!link || !("DecompressionStream" in window)) return;
    event.preventDefault();
    const bytes = Uint8Array.from(atob(link.href.split(",")[1]), (character) => character.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const address = URL.createObjectURL(await new Response(plain).blob());
    Object.assign(document.createElement("a"), { href: address, download: link.download.replace(/\.gz$/, "") }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  });

  // A figure as a file: as it stands in the page, in the colours of paper.
  async function save(figure, kind) {
    const name = `${figure.id}.${kind}`;
    const drawing = figure.querySelector("svg").cloneNode(true);
    drawing.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    const text = new XMLSerializer().serializeToString(drawing);
    let address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    if (kind === "png") {
      const picture = new Image();
      picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
      await picture.decode();
      const canvas = Object.assign(document.createElement("canvas"), { width: 2 * picture.width, height: 2 * picture.height });
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#ffffff";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
      address = canvas.toDataURL("image/png");
    }
    Object.assign(document.createElement("a"), { href: address, download: name }).click();
  }

  for (const figure of document.querySelectorAll("figure")) {
    for (const kind of ["svg", "png"]) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "save", textContent: kind.toUpperCase() });
      button.setAttribute("aria-label", `${figure.querySelector("figcaption b").textContent} as ${kind.toUpperCase()}`);
      button.addEventListener("click", () => save(figure, kind));
      figure.querySelector(".links").append(button);
    }
  }

  // One activation lit in all figures and tables at once.
  const lit = Object.assign(document.createElement("select"), { name: "highlight" });

  // A grey line has no name in its figure: while it is lit it gets one at its end, within its panel.
  function nameLines() {
    for (const one of document.querySelectorAll("text.lit")) one.remove();
    for (const line of document.querySelectorAll(".lit[data-look]")) {
      const path = line.querySelector("path");
      const frame = document.getElementById(path?.getAttribute("clip-path")?.slice(5, -1))?.querySelector("rect");
      const along = path?.getAttribute("d")?.match(/-?[\d.]+/g); // a line without values has no path
      if (!frame || !along) continue;
      const [left, top, wide, tall] = ["x", "y", "width", "height"].map((key) => Number(frame.getAttribute(key)));
      const [x, y] = along.slice(-2).map(Number);
      const beside = y - 13 > top ? y - 4 : y + 11;
      const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
      const at = { x: Math.min(x, left + wide) - 2, y: Math.min(Math.max(beside, top + 9), top + tall - 3) };
      for (const [key, value] of Object.entries({ ...at, class: "lit", "data-look": line.dataset.look, "text-anchor": "end", "font-size": 8.5, "paint-order": "stroke" })) text.setAttribute(key, value);
      text.textContent = called.get(state.lit);
      line.ownerSVGElement.append(text);
    }
  }

  function light(name) {
    state.lit = called.has(name) ? name : "";
    lit.value = state.lit;
    document.documentElement.classList.toggle("lighting", Boolean(state.lit));
    for (const one of document.querySelectorAll("[data-activation]")) one.classList.toggle("lit", one.dataset.activation === state.lit);
    nameLines();
    for (const head of document.querySelectorAll("tbody th")) head.parentElement.classList.toggle("lit", Boolean(state.lit) && head.textContent.trim() === called.get(state.lit));
  }
  if (called.size) {
    lit.append(new Option("none", ""), ...[...called].sort((a, b) => a[1].localeCompare(b[1], "en")).map(([name, said]) => new Option(said, name)));
    lit.addEventListener("change", () => { light(lit.value); writeAddress(); });
    const label = Object.assign(document.createElement("label"), { className: "highlight" });
    label.append("Highlight ", lit);
    document.querySelector(".masthead").append(label);
  }

  const theme = Object.assign(document.createElement("button"), { type: "button", className: "theme" });
  function show(name) {
    document.documentElement.dataset.theme = name;
    theme.textContent = name === "dark" ? "Light theme" : "Dark theme";
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  show(guarded(() => localStorage.getItem("theme")) ?? dark);
  theme.addEventListener("click", () => {
    const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    show(name);
    guarded(() => localStorage.setItem("theme", name));
  });
  document.querySelector(".masthead").append(theme);

  addEventListener("played", ({ detail }) => {
    Object.assign(state, { anchor: "figure-play", play: detail });
    writeAddress();
  });
  addEventListener("hashchange", readAddress);
  readAddress();
})();
