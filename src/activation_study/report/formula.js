"use strict";
// A formula in x as a function: the grammar of activations/expressions.py, whose names come with the page. Nothing is run.
class Refusal extends Error {}

const density = (t) => Math.exp(-t * t / 2) / Math.sqrt(2 * Math.PI);
const below = (t) => { // P(z < t): all terms of this series have one sign
  if (Math.abs(t) > 9) return t > 0 ? 1 : 0;
  let term = t, sum = t;
  for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) sum += term *= t * t / k;
  return 0.5 + density(t) * sum;
};

const FUNCTIONS = (() => {
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const elu = (x) => (x > 0 ? x : Math.expm1(x));
  return {
    sigmoid, softplus, elu,
    relu: (x) => Math.max(x, 0),
    erf: (x) => 2 * below(x * Math.SQRT2) - 1,
    selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
    gelu: (x) => x * below(x),
    silu: (x) => x * sigmoid(x),
    mish: (x) => x * Math.tanh(softplus(x)),
    softsign: (x) => x / (1 + Math.abs(x)),
    logsigmoid: (x) => -softplus(-x),
    minimum: Math.min, maximum: Math.max,
    clamp: (x, low, high) => Math.min(Math.max(x, low), high),
  };
})();

function formula(text, grammar) {
  // Without a prototype, no name but the grammar's is in these.
  const known = { ...grammar };
  for (const names of ["aliases", "functions", "instead", "constants"]) known[names] = Object.assign(Object.create(null), grammar[names]);
  const refuse = (reason) => { throw new Refusal(reason); };
  if (text.length > known.length) refuse(`it has ${text.length} characters, more than the ${known.length} allowed`);
  const source = text.trim()
    .replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+/g, (raised) => `**(${raised.normalize("NFKC").replaceAll("−", "-")})`)
    .replace(/[−–]/g, "-").replace(/[×·⋅∙∗]/g, "*").replace(/[÷∕]/g, "/").replace(/π/g, "pi")
    .replace(/≤/g, "<=").replace(/≥/g, ">=").replace(/≠/g, "!=")
    .replace(/[\u{1d400}-\u{1d7ff}\uff01-\uff5e\ufe50-\ufe6b]/gu, (letter) => letter.normalize("NFKC"))
    .replaceAll("^", "**").replace(/\s+/g, " ");
  const strange = [...source].find((letter) => letter > "~");
  if (strange) refuse(`the character “${strange}” has no meaning here; write it in Latin letters or in words, such as sqrt(x)`);

  const HINTS = [
    [/#/, () => "it may not hold a comment"], [/\?/, () => "a choice is written where(x > 0, x, 0)"],
    [/\|/, () => "the absolute value is written abs(x)"],
    [/(?<![<>=!:])=(?!=)/, () => "write only what stands to the right of ="],
    [/(?<![\d.])\d+,\d+/, (found) => `if ${found} is a number, write ${found.replace(",", ".")}`],
    [new RegExp(`\\b(${Object.keys(known.functions).join("|")}) x\\b`), (_, name) => `write ${name}(x)`],
    [/(?:\d|\)|\bx)\s*[A-Za-z_(]/, () => "a product is written with *, as 2*x"],
  ];
  const hint = () => {
    const [pattern, said] = HINTS.find(([one]) => one.test(source)) ?? [];
    return pattern ? `; ${said(...source.match(pattern))}` : "";
  };
  const unformed = () => refuse(`it is not a formula in x${hint()}`);
  const TOKEN = / ?(?:(0[xob][\da-f]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:e[-+]?\d+)?)|([a-z_]\w*)|(\*\*|\/\/|[<>=!]=|[-+*/%@<>&|~(),.=]))/iy;
  const tokens = [];
  while (TOKEN.lastIndex < source.length) {
    const found = TOKEN.exec(source);
    if (!found || /^0\d+$/.test(found[1])) unformed();
    tokens.push({ number: found[1], name: found[2], text: found[0].trim(), start: TOKEN.lastIndex - found[0].trim().length, end: TOKEN.lastIndex });
  }
  tokens.push({ text: "", start: source.length });

  // A value is a number {n}, a function {f}, a test {t}, or what stands where a test holds, {t, by}: by has n or f.
  let at = 0;
  const next = () => tokens[at].text;
  const eat = (...wanted) => (wanted.includes(next()) ? tokens[at++].text : "");
  const need = (wanted) => eat(wanted) || unformed();
  const quoted = (start, end = tokens[at - 1].end) => {
    const part = source.slice(start, end);
    return `'${part.length > 60 ? `${part.slice(0, 59)}…` : part}'`;
  };
  const made = (start, value, ...parts) => {
    const depth = 1 + Math.max(0, ...parts.map((one) => one.depth));
    if (depth > known.depth) refuse(`nested more than ${known.depth} levels deep`);
    if ("n" in value && !Number.isFinite(value.n)) refuse(`${quoted(start)} is not a finite number`);
    return { start, end: tokens[at - 1].end, depth, ...value };
  };
  const call = (value) => ("n" in value ? () => value.n : value.f);
  const piece = (value) => {
    if (value.bad) refuse(`'${value.bad}' is not allowed`);
    if (value.t && !value.product) {
      refuse(`${quoted(value.start, value.end)} is not allowed there: a comparison stands in where(x > 0, …, …), before 'else', or as a factor, (x > 0) * …`);
    }
    if (!value.product) return value;
    const by = call(value.by);
    return { ...value, t: undefined, f: (x) => (value.t(x) ? by(x) : x * 0) }; // what is not a number stays so
  };
  const test = (value) => {
    if (!value.t || value.by) refuse(`${quoted(value.start, value.end)} is not allowed as a condition; write a comparison, such as x > 0`);
    return value.t;
  };
  const apply = (start, compute, ...parts) => { // numbers alone make a number
    const values = parts.map(piece), functions = values.map(call);
    const value = values.every((one) => "n" in one) ? { n: compute(...values.map((one) => one.n)) } : { f: (x) => compute(...functions.map((one) => one(x))) };
    return made(start, value, ...values);
  };
  const where = (start, choice, one, other) => {
    const holds = test(choice), [a, b] = [one, other].map((side) => call(piece(side)));
    return made(start, { f: (x) => (holds(x) ? a(x) : b(x)) }, choice, one, other);
  };
  const ARITHMETIC = { "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b };
  const waits = (value) => value.t && !value.product; // a test that is not yet a factor
  const binary = (start, sign, a, b) => {
    if ("&|".includes(sign)) {
      const [p, q] = [test(a), test(b)];
      return made(start, { t: sign === "&" ? (x) => p(x) && q(x) : (x) => p(x) || q(x) }, a, b);
    }
    if (!(sign in ARITHMETIC)) refuse(`${quoted(start)} is not allowed`);
    if (sign === "/" && waits(a)) return made(start, { t: a.t, by: apply(start, ARITHMETIC["/"], a.by ?? { n: 1 }, b) }, a, b);
    if (sign !== "*" || !(a.t || b.t)) return apply(start, ARITHMETIC[sign], a, b);
    const sides = [a, b].map((one) => (one.t ? { t: one.t, by: one.by ?? { n: 1 } } : { t: () => true, by: one }));
    const by = apply(start, ARITHMETIC["*"], ...sides.map((one) => one.by));
    return made(start, { t: (x) => sides.every((one) => one.t(x)), by, product: true }, a, b);
  };
  const power = (start, a, b) => {
    const [base, exponent] = [piece(a), piece(b)];
    if (Math.abs(exponent.n) <= known.exponent) return apply(start, Math.pow, base, exponent);
    if (base.n === Math.E && exponent.f) return apply(start, Math.exp, exponent);
    const instead = base.n > 0 && exponent.f ? `; write exp(log(${base.n}) * (…))` : "";
    return refuse(`the exponent of ** must be a number from -${known.exponent} to ${known.exponent}${instead}`);
  };

  const BOUNDS = { __proto__: null, min: 1, a_min: 1, max: 2, a_max: 2 };
  function clamped(start, given, written) { // its bounds in order; one may be missing, or None
    const args = given.filter((one) => !one.key);
    for (const { key, value } of given.filter((one) => one.key)) {
      if (!(key in BOUNDS) || args[BOUNDS[key]]) refuse(`${quoted(start)} is not allowed; write clamp(value, low, high)`);
      args[BOUNDS[key]] = { value };
    }
    if (given.length < 2 || given.length > 3 || !args[0]) refuse(`${written} takes 2 or 3 arguments, not ${given.length}`);
    const ends = [args[1], args[2]].map((one) => (one && one.value.bad !== "None" ? piece(one.value).n : null));
    const [low, high] = [ends[0] === null ? -Infinity : ends[0], ends[1] === null ? Infinity : ends[1]];
    if (!(low < high)) refuse("the bounds of clamp must be two numbers, the lower one first");
    return apply(start, (x) => FUNCTIONS.clamp(x, low, high), args[0].value);
  }
  function called(start, written, bare, given) {
    const name = known.aliases[written] ?? written, values = given.map((one) => one.value);
    if (/^(max|min)$/.test(written) && !bare) refuse(`${quoted(start)} is not elementwise; write ${name}(a, b)`);
    if (!(name in known.functions)) {
      const instead = known.instead[name] ?? (name.toLowerCase() in known.functions && `${name.toLowerCase()}(…)`);
      if (known.together.includes(name)) refuse(`${name} is not elementwise: its value at one unit depends on others`);
      if (known.random.includes(name)) refuse(`${name} draws random numbers, and an expression draws none`);
      if (/^(x|pi|e)$/.test(name)) refuse(`${name} is not a function; a product is written ${name}*(…)`);
      refuse(`unknown function '${name}'; ${instead ? `write ${instead}` : `known are ${Object.keys(known.functions).sort().join(", ")}`}`);
    }
    if (name === "clamp") return clamped(start, given, written);
    if (given.some((one) => one.key)) refuse(`${quoted(start)} is not allowed; arguments are given without a name`);
    const count = known.functions[name];
    if (values.length !== count) refuse(`${written} takes ${count} argument${count > 1 ? "s" : ""}, not ${values.length}${hint().includes("is a number") ? hint() : ""}`);
    if (name === "where") return where(start, ...values);
    if (name === "pow") return power(start, ...values);
    return apply(start, FUNCTIONS[name] ?? Math[name], ...values);
  }

  function primary() {
    const start = tokens[at].start, token = tokens[at++];
    if (token.number) return made(start, { n: Number(token.number.replaceAll("_", "")) });
    if (token.text === "(") {
      const inner = choice();
      need(")");
      return inner;
    }
    if (!token.name || /^(if|else|and|or|not|for|lambda|import)$/.test(token.name)) unformed();
    const path = [token.name];
    while (next() === "." && tokens[at + 1].name) at += 2, path.push(tokens[at - 1].text);
    const name = path.at(-1), dotted = path.length > 1;
    if (dotted && !known.prefixes.includes(path.slice(0, -1).join("."))) {
      refuse(`${quoted(start)} is not allowed${path[0] === "x" && name in known.functions ? `; write ${name}(x)` : ""}`);
    }
    if (eat("(")) {
      const given = [];
      while (next() !== ")") {
        const key = tokens[at].name && tokens[at + 1].text === "=" ? tokens[at].text : "";
        if (key) at += 2;
        given.push({ key, value: choice() });
        if (!eat(",")) break;
      }
      need(")");
      return called(start, name, !dotted, given);
    }
    if (!dotted && name === "x") return made(start, { f: (x) => x });
    if (name in known.constants) return made(start, { n: known.constants[name] });
    if (/^(None|True|False)$/.test(name)) return made(start, { bad: name });
    if (next() === "=" || tokens[at].name || tokens[at].number) unformed();
    const low = name.toLowerCase();
    return refuse(`unknown name '${name}'; ${low !== name && (low === "x" || low in known.constants) ? `write ${low}` : `the variable is x${tokens.some((one) => one.text === "x") ? "; write its value in its place" : ""}`}`);
  }
  function postfix() {
    const start = tokens[at].start, value = primary();
    if (/^[(.]$/.test(next()) || (tokens[at].name && !/^(if|else|and|or|not)$/.test(next()))) unformed();
    return eat("**") ? power(start, value, unary()) : value;
  }
  function unary() {
    const start = tokens[at].start, sign = eat("-", "+", "~");
    if (!sign) return postfix();
    const value = unary();
    if (sign === "~") {
      const holds = test(value);
      return made(start, { t: (x) => !holds(x) }, value);
    }
    if (sign === "-" && waits(value)) return made(start, { t: value.t, by: apply(start, (a) => -a, value.by ?? { n: 1 }) }, value);
    return apply(start, sign === "-" ? (a) => -a : (a) => a, value);
  }
  const LEVELS = [["|"], ["&"], ["+", "-"], ["*", "/", "//", "%", "@"]];
  function level(place) {
    if (place === LEVELS.length) return unary();
    const start = tokens[at].start;
    let value = level(place + 1);
    for (let sign = eat(...LEVELS[place]); sign; sign = eat(...LEVELS[place])) value = binary(start, sign, value, level(place + 1));
    return value;
  }
  const COMPARE = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "==": (a, b) => a === b, "!=": (a, b) => a !== b };
  function comparison() {
    const start = tokens[at].start, sides = [level(0)], signs = [];
    for (let sign = eat(...Object.keys(COMPARE)); sign; sign = eat(...Object.keys(COMPARE))) signs.push(COMPARE[sign]), sides.push(level(0));
    if (!signs.length) return sides[0];
    const values = sides.map(piece), f = values.map(call);
    if (values.every((one) => "n" in one)) refuse(`${quoted(start)} does not depend on x`);
    return made(start, { t: (x) => signs.every((holds, i) => holds(f[i](x), f[i + 1](x))) }, ...sides);
  }
  function negation() {
    const start = tokens[at].start;
    if (!eat("not")) return comparison();
    const value = negation(), holds = test(value);
    return made(start, { t: (x) => !holds(x) }, value);
  }
  function joined(word, sign, part) {
    const start = tokens[at].start;
    let value = part();
    while (eat(word)) value = binary(start, sign, value, part());
    return value;
  }
  function choice() {
    const start = tokens[at].start, one = joined("or", "|", () => joined("and", "&", negation));
    if (!eat("if")) return one;
    const asked = joined("or", "|", () => joined("and", "&", negation));
    need("else");
    return where(start, asked, one, choice());
  }
  const whole = choice();
  if (at < tokens.length - 1) unformed();
  const value = piece(whole);
  if ("n" in value || !tokens.some((one) => one.text === "x")) refuse("it does not depend on x");
  return value.f;
}
