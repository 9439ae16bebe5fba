// The page to play with: what a wide network is like before its first step, by the laws of activations/mean_field.py,
// finite_width.py and several_inputs.py. Its state in the address: play=layers:width:initialisation:correlation:activation,
// or =formula in the activation's place.
(() => {
  const figure = document.getElementById("figure-play");
  const held = document.getElementById("play-laws");
  const plain = (_, value) => (value?.constructor === Object ? Object.assign(Object.create(null), value) : value);

  // The laws

  const ORDER = 400, FLAT = 1e-5, STRAIGHT = 1e-9, INPUTS = 100;
  const GRID = Array.from({ length: 201 }, (_, i) => (i - 100) / 20);
  const Z = Array.from({ length: 900 }, (_, i) => (i - 449.5) / 50);
  const sum = (values) => values.reduce((a, b) => a + b, 0);

  // Ends and bends of the straight pieces between points; random: [E φ², E φ′²] at variance 1, if its slope is.
  function graph(x, y, random) {
    const slopes = (x, y) => y.slice(1).map((value, i) => (value - y[i]) / (x[i + 1] - x[i]));
    const all = slopes(x, y);
    let kept = x.map((_, i) => i).filter((i) => i === 0 || i === x.length - 1 || Math.abs(all[i] - all[i - 1]) * (x[i + 1] - x[i]) > STRAIGHT);
    if (kept.length === 2) kept = [0, x.length >> 1, x.length - 1];
    [x, y] = [kept.map((i) => x[i]), kept.map((i) => y[i])];
    return { x, y, random, slope: slopes(x, y) };
  }

  // What a layer makes of pre-activations of variance q.
  function response({ x, y, slope, random }, q) {
    const root = Math.sqrt(q), at = x.slice(1, -1).map((one) => one / root), bend = at.map((_, i) => slope[i + 1] - slope[i]);
    const edges = [-Infinity, ...at, Infinity], density_ = edges.map(density), below_ = edges.map(below);
    let [mean, square, meanSlope, slopeSquare] = [0, 0, 0, 0];
    slope.forEach((s, i) => {
      const offset = (y[i] - s * x[i]), share = below_[i + 1] - below_[i], first = density_[i] - density_[i + 1];
      const weighted = (end) => (Number.isFinite(edges[end]) ? edges[end] * density_[end] : 0);
      mean += offset * share + s * root * first;
      square += offset ** 2 * share + 2 * offset * s * root * first + s ** 2 * q * (share - weighted(i + 1) + weighted(i));
      meanSlope += s * share;
      slopeSquare += s ** 2 * share;
    });
    const flats = [];
    slope.forEach((s, i) => {
      if (Math.abs(s) > FLAT) return;
      if (flats.at(-1)?.[1] === edges[i]) flats.at(-1)[1] = edges[i + 1];
      else flats.push([edges[i], edges[i + 1]]);
    });
    const flat = (shift = 0, scale = 1) => sum(flats.map(([a, b]) => below((b - shift) / scale) - below((a - shift) / scale)));
    return {
      square: random ? q * random[0] : square,
      slopeSquare: random ? random[1] : slopeSquare,
      silent: flat(),
      dead(c) {
        const apart = Math.sqrt(Math.max(1 - c, 1e-18));
        return flats.length ? sum(Z.map((z) => density(z) * flat(Math.sqrt(c) * z, apart) ** INPUTS)) / 50 : 0;
      },
      product(c) { // E φ(u) φ(v) at correlation c, by Mehler's formula
        const a = [mean, root * meanSlope];
        let found = a[0] ** 2 + a[1] ** 2 * c, rest = square - a[0] ** 2 - a[1] ** 2, power = c;
        const before = new Float64Array(at.length), now = Float64Array.from(at, density);
        for (let k = 2; k <= ORDER; k++) {
          let coefficient = 0;
          for (let i = 0; i < at.length; i++) coefficient += bend[i] * now[i];
          const term = (root * coefficient) ** 2 / (k * (k - 1)), low = Math.sqrt(k - 2), high = Math.sqrt(k - 1);
          power *= c;
          found += term * power;
          rest -= term;
          if (rest * power < 1e-12 * square) break;
          for (let i = 0; i < at.length; i++) [before[i], now[i]] = [now[i], (at[i] * now[i] - low * before[i]) / high];
        }
        return found + rest * power * c;
      },
    };
  }

  // Of a formula: its points, the gain and the edge of chaos, by sums over a fine grid.
  function typed(text) {
    const f = formula(text, given.grammar), step = 1 / 500;
    const x = Array.from({ length: 12001 }, (_, i) => (i - 6000) * step), y = x.map(f);
    const wrong = [...x, ...GRID.map((one) => 6 * one)].find((one, i) => !Number.isFinite(y[i] ?? f(one)));
    if (wrong !== undefined) throw new Refusal(`its value at x = ${wrong} is not finite`);
    const slope = y.slice(1).map((value, i) => (value - y[i]) / step), size = (i) => Math.abs(slope[i] ?? 0);
    const steep = slope.findIndex((one, i) => Math.abs(one) > 20 * (1 + Math.max(size(i - 2), size(i + 2))));
    if (steep >= 0) throw new Refusal(`it is too steep near x = ${Number(x[steep].toFixed(2))} to be averaged here`);
    const weight = x.map((one) => density(one) * step), squares = y.map((one, i) => one ** 2 * weight[i]), second = sum(squares);
    const slopes = sum(slope.map((one, i) => one ** 2 * density(x[i] + step / 2) * step));
    if (Math.max(squares[0], squares.at(-1)) > 1e-9 * second) throw new Refusal("it grows too fast: E φ² has no value");
    if (!(slopes > 1e-12)) throw new Refusal("its slope is zero everywhere");
    const bias = 1 - second / slopes;
    return { ...graph(GRID, GRID.map(f)), label: text, colour: "#1b1f24", dash: "", gain: second ** -0.5, edge: bias < -1e-6 ? null : [1 / slopes, Math.max(bias, 0)] };
  }

  function beginnings(law, { depth, width, start, correlation }) {
    const [w, b, first] = start === "torch_default" ? [1 / 3, 1 / (3 * width), 1 / 3] : [...((start === "edge_of_chaos" && law.edge) || [law.gain ** 2, 0]), 1];
    let q = start === "torch_default" ? first + b : 1, c = 1 - ((1 - correlation) * first) / q;
    const rows = [], steps = [];
    for (let layer = 1; layer <= depth; layer++) {
      const here = response(law, q);
      rows.push({ layer, gradient: 0, correlation: c, dead: here.dead(c), silent: here.silent ** width });
      steps.push(Math.log10(w * here.slopeSquare) / 2);
      const following = w * here.square + b;
      c = Math.min((w * here.product(c) + b) / following, 1);
      q = following;
    }
    for (let i = depth - 2; i >= 0; i--) rows[i].gradient = rows[i + 1].gradient + steps[i];
    // Half of the single networks of this width; known of leaky ReLUs at their gain.
    const leaky = law.x.length === 3 && !law.random && Math.abs(law.y[1]) + Math.abs(law.x[1]) + Math.abs(law.slope[1] - 1) < 1e-6;
    if (leaky && start !== "torch_default") {
      const fluctuation = (6 * (1 + law.slope[0] ** 4)) / (1 + law.slope[0] ** 2) ** 2 - 1;
      for (const row of rows) {
        const beta = (fluctuation * (depth - row.layer)) / width;
        [row.low, row.high] = [-1, 1].map((side) => (-beta / 2 + side * 0.6744897501960817 * Math.sqrt(beta)) / (2 * Math.LN10));
      }
    }
    return rows;
  }

  // Words

  const rounded = (value) => Number(value.toPrecision(2)).toLocaleString("en");
  function times(decades) {
    if (Math.abs(decades) < 0.02) return "as large";
    const size = Math.abs(decades), unit = Math.floor(size / 3);
    const amount = size >= 15 ? `10${String(Math.round(size)).replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])}` : `${rounded(10 ** (size - 3 * unit))}${["", " thousand", " million", " billion", " trillion"][unit]}`;
    return `${amount} times ${decades < 0 ? "smaller" : "larger"}`;
  }
  const percent = (share) => `${rounded(100 * share)}%`;
  function finding(rows, law, { depth, width, start, correlation }) {
    const first = rows[0], last = rows.at(-1), silent = 1 - rows.reduce((alive, row) => alive * (1 - row.silent), 1);
    const single = first.low === undefined ? "" : ` In half of the single networks it is between ${times(first.low)} and ${times(first.high)}.`;
    const flat = law.slope.some((one) => Math.abs(one) <= FLAT);
    const dead = !flat ? " No unit is dead." : ` ${last.dead < 0.005 ? "Hardly any unit" : `${percent(last.dead)} of the units`} of layer ${depth} ${last.dead < 0.005 ? "is" : "are"} dead.`;
    const whole = silent < 1e-6 ? "" : ` An input meets a layer that is dead as a whole in ${percent(silent)} of the networks.`;
    const alike = ` Two inputs that begin with a correlation of ${correlation} reach layer ${depth} with ${last.correlation > 0.995 ? "nearly 1" : last.correlation.toFixed(2)}${last.correlation > 0.95 ? ": they are hardly told apart" : ""}.`;
    const instead = start === "edge_of_chaos" && !law.edge ? ` ${law.label} has no edge of chaos; it begins with its unit gain.` : "";
    return `After ${depth} layers of ${width} units, the gradient at layer 1 is ${times(first.gradient)} ${Math.abs(first.gradient) < 0.02 ? "as" : "than"} at layer ${depth}.${single}${dead}${whole}${alike}${instead}`;
  }

  // The drawing

  const draw = (tag, attributes, ...inside) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  };
  const text = (x, y, said, more) => draw("text", { x, y, "font-size": 12, fill: "#57606a", ...more }, said);
  const minus = (value) => String(value).replace("-", "−");

  const PANELS = [
    { key: "gradient", title: "Where the gradient goes", unit: "powers of ten, against the last layer", show: (v) => minus(+v.toFixed(2)), least: [-1, 0.5] },
    { key: "dead", title: "Units dead at birth", unit: `slope 0 at all of ${INPUTS} inputs`, show: (v) => percent(v), range: [0, 0.5] },
    { key: "correlation", title: "How alike two inputs become", unit: "correlation", show: (v) => minus(+v.toFixed(2)), range: [0, 1] },
  ];
  function panel({ key, title, unit, show, least, range }, left, top, width, height, drawn) {
    const values = drawn.flatMap(({ rows }) => rows.flatMap((row) => [row[key], ...(key === "gradient" && row.low !== undefined ? [row.low, row.high] : [])]));
    const [low, high] = range ? [range[0], Math.max(range[1], ...values)] : [Math.min(least[0], ...values), Math.max(least[1], ...values)];
    const most = Math.max(...drawn.map(({ rows }) => rows.length));
    const x = (layer) => left + 42 + ((width - 60) * (layer - 1)) / (most - 1), y = (value) => top + 44 + ((height - 84) * (high - value)) / (high - low);
    const tidy = (span) => { const unit = 10 ** Math.floor(Math.log10(span / 4)); return unit * [1, 2, 5, 10].find((one) => one * unit >= span / 5); };
    const parts = [text(left + 4, top + 14, title, { fill: "#1b1f24", "font-weight": "bold" }), text(left + 4, top + 31, unit)];
    const step = tidy(high - low);
    for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9 * step; tick += step) {
      parts.push(draw("path", { d: `M${left + 42} ${y(tick).toFixed(1)}h${width - 60}`, stroke: "#d9dee3" }), text(left + 37, y(tick) + 4, show(Math.abs(tick) < 1e-9 ? 0 : tick), { "text-anchor": "end" }));
    }
    const across = Math.max(1, tidy(most));
    for (const layer of [1, ...Array.from({ length: Math.floor(most / across) }, (_, i) => (i + 1) * across)].filter((one, i) => i === 0 || one > across / 2 && one > 1)) {
      parts.push(text(x(layer), top + height - 22, layer, { "text-anchor": "middle" }));
    }
    parts.push(text(left + width / 2 + 12, top + height - 5, "layer, from input to output", { "text-anchor": "middle" }));
    for (const { rows, look } of drawn) {
      const line = (value) => rows.map((row) => `${x(row.layer).toFixed(1)} ${y(value(row)).toFixed(1)}`);
      if (key === "gradient" && rows[0].low !== undefined) parts.push(draw("path", { d: `M${line((row) => row.low).join("L")}L${line((row) => row.high).reverse().join("L")}Z`, fill: look.colour, opacity: 0.18 }));
      parts.push(draw("path", { d: `M${line((row) => row[key]).join("L")}`, fill: "none", stroke: look.colour, "stroke-width": 1.8, "stroke-dasharray": look.dash }));
      for (const row of rows) parts.push(draw("circle", { cx: x(row.layer).toFixed(1), cy: y(row[key]).toFixed(1), r: most > 40 ? 2 : 3, fill: look.colour }, draw("title", {}, `${look.label}, layer ${row.layer}: ${show(row[key])}`)));
    }
    return parts;
  }

  // The controls

  let given, kept, shown;
  const WIDTHS = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024];
  const make = (tag, properties = {}, ...inside) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...inside);
    return node;
  };
  function build() {
    const range = (min, max, value, step = 1) => make("input", { type: "range", min, max, step, value });
    const choice = (pairs) => make("select", {}, ...pairs.map(([value, said]) => new Option(said, value)));
    const names = Object.keys(given.laws), [usual] = names.includes("relu") ? ["relu"] : names;
    const live = make("a", { className: "drawn", download: "network.csv", textContent: "What is drawn, as CSV" });
    const controls = {
      activation: choice([...names.map((name) => [name, given.laws[name].label]), ["=", "a formula of yours…"]]),
      formula: make("input", { type: "text", value: "x * tanh(x)", spellcheck: false, autocomplete: "off", autocapitalize: "off" }),
      start: choice(given.starts), depth: range(2, 100, 20), width: range(0, WIDTHS.length - 1, WIDTHS.indexOf(64)), correlation: range(0, 0.95, 0, 0.05),
    };
    controls.activation.value = usual;
    const said = { activation: "Activation", formula: "Formula in x", start: "Weights begin as", depth: "Hidden layers", width: "Units in each", correlation: "Inputs' correlation" };
    const status = make("p", { className: "found" }), refused = make("p", { className: "gap", id: "figure-play.refused", hidden: true });
    status.setAttribute("role", "status");
    refused.setAttribute("role", "alert");
    controls.formula.setAttribute("aria-describedby", refused.id);
    const labels = Object.entries(controls).map(([name, control]) => make("label", {}, `${said[name]} `, control, ...(control.type === "range" ? [make("b")] : [])));
    const keep = make("button", { type: "button", textContent: "Keep for comparison" });
    figure.classList.add("live");
    figure.prepend(make("div", { className: "picks play" }, ...labels, keep, live), refused, status);
    figure.querySelector("figcaption b").nextSibling.data = ` ${given.key} `;

    const settings = () => ({ depth: Number(controls.depth.value), width: WIDTHS[controls.width.value], start: controls.start.value, correlation: Number(controls.correlation.value) });
    const looks = new Map();
    function law() { // of the activation or the formula, made once
      const { value } = controls.activation, key = value === "=" ? `=${controls.formula.value}` : value;
      if (!looks.has(key)) {
        const { points, ...rest } = given.laws[value] ?? {};
        looks.set(key, value === "=" ? typed(controls.formula.value) : { ...rest, ...graph(...unpacked(points), rest.random) });
      }
      return looks.get(key);
    }
    function unpacked(points) { // ends and bends as text, or float32 values on the grid
      if (!points.includes(" ")) return [GRID, [...new Float32Array(Uint8Array.from(atob(points), (letter) => letter.charCodeAt(0)).buffer)]];
      const pairs = points.split(",").map((pair) => pair.split(" ").map(Number));
      return [0, 1].map((i) => pairs.map((pair) => pair[i]));
    }
    function show() {
      for (const name of ["depth", "width", "correlation"]) {
        const value = String(settings()[name]);
        controls[name].nextElementSibling.textContent = value;
        controls[name].setAttribute("aria-valuetext", value);
      }
      const own = controls.activation.value === "=";
      controls.formula.parentElement.hidden = !own;
      try {
        const look = law(), rows = beginnings(look, settings());
        const name = look.label.length > 24 ? `${look.label.slice(0, 23)}…` : look.label;
        shown = { rows, look, said: `${name}, ${settings().depth} layers of ${settings().width}` };
        refused.hidden = true;
        status.textContent = finding(rows, look, settings());
        render();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refused.textContent = `Not understood: ${error.message}.`;
        refused.hidden = false;
      }
      controls.formula.setAttribute("aria-invalid", String(!refused.hidden));
    }
    function render() {
      const svg = figure.querySelector("svg"), whole = Math.max(260, Math.min(845, Math.floor(figure.clientWidth)));
      const columns = whole < 640 ? 1 : 3, width = whole / columns, height = 250, head = 8 + 20 * (kept ? 2 : 1);
      const drawn = [...(kept ? [{ ...kept, look: { ...kept.look, dash: "2 3" } }] : []), shown];
      const legend = drawn.flatMap(({ look, said }, i) => [draw("path", { d: `M4 ${12 + 20 * i}h26`, stroke: look.colour, "stroke-width": 2, "stroke-dasharray": look.dash }), text(36, 16 + 20 * i, said, { fill: "#1b1f24" })]);
      const panels = PANELS.flatMap((one, i) => panel(one, columns === 1 ? 0 : i * width, head + (columns === 1 ? i * height : 0), width, height, drawn));
      const [title, desc] = svg.querySelectorAll(":scope > title, :scope > desc");
      const tall = head + (columns === 1 ? 3 * height : height);
      desc.textContent = status.textContent;
      for (const [name, value] of Object.entries({ width: whole, height: tall, viewBox: `0 0 ${whole} ${tall}` })) svg.setAttribute(name, value);
      svg.replaceChildren(title, desc, ...legend, ...panels);
      const columnsOf = ["layer", "gradient", "low", "high", "correlation", "dead", "silent"];
      const csv = [columnsOf, ...shown.rows.map((row) => columnsOf.map((name) => row[name] ?? ""))].map((row) => row.join(",")).join("\n");
      live.href = `data:text/csv;charset=utf-8,${encodeURIComponent(`${csv}\n`)}`;
    }
    const address = () => {
      const { depth, width, start, correlation } = settings(), { value } = controls.activation;
      return [depth, width, start, correlation, value === "=" ? `=${controls.formula.value}` : value].join(":");
    };
    figure.addEventListener("input", show);
    figure.addEventListener("change", () => dispatchEvent(new CustomEvent("played", { detail: address() })));
    keep.addEventListener("click", () => {
      kept = kept ? undefined : shown;
      keep.textContent = kept ? "Drop the comparison" : "Keep for comparison";
      render();
    });
    addEventListener("resize", render);
    addEventListener("play", ({ detail }) => {
      const [depth, width, start, correlation, ...rest] = detail.split(":"), name = rest.join(":");
      if (!(name in given.laws || name.startsWith("=")) || !given.starts.some(([one]) => one === start)) return;
      Object.assign(controls.depth, { value: depth });
      if (WIDTHS.includes(Number(width))) controls.width.value = WIDTHS.indexOf(Number(width));
      Object.assign(controls.start, { value: start });
      Object.assign(controls.correlation, { value: correlation });
      controls.activation.value = name.startsWith("=") ? "=" : name;
      if (name.startsWith("=")) controls.formula.value = name.slice(1);
      show();
    });
    show();
  }
  if (figure && held) {
    given = JSON.parse(held.textContent, plain);
    build();
  }

  // Figures for a class, as large as the screen.
  for (const shownLarge of document.querySelectorAll("#figure-play, #figure-decay-layers, #figure-unit-history, #figure-two-inputs")) {
    if (!document.fullscreenEnabled) break;
    const button = make("button", { type: "button", className: "save", textContent: "Full screen" });
    button.setAttribute("aria-label", `${shownLarge.querySelector("figcaption b").textContent} in full screen`);
    button.addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : shownLarge.requestFullscreen()));
    shownLarge.querySelector(".links").append(button);
  }
})();
