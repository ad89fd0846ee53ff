/* The cards: each draws one part of the results, from the object that `app.js` keeps in `now`. */
const Cards = (() => {
  const { el } = Draw;
  const GUIDES = [
    ["clamped", "clamped"],
    ["beta", "this guide"],
    ["free", "free"],
  ];
  const BLOCKS = [
    ["initial", "start"],
    ["policy", "policy"],
    ["dynamics", "dynamics"],
    ["survival", "survival"],
  ];
  const MOST_ROWS = 150;
  const NARROW = 0.75; // columns in a row of a map
  const byId = (id) => document.getElementById(id);
  const minus = (text) => text.replace(/^-/, "−");
  const amount = (value) => minus(Words.amount(value));
  const together = (values) => {
    const write = Words.together(values);
    return (value) => minus(write(value));
  };
  const swatch = (kind) => el("span", { class: `swatch ${kind}` });

  /** A table; each of `groups` is a title above the same number of columns, all but the first. */
  function table(node, head, rows, groups = []) {
    const cells = (tag, row) => row.map((each, i) => el(i ? tag : "th", { scope: tag === "th" ? "col" : i ? null : "row" }, each));
    const span = (head.length - 1) / groups.length;
    const titles = groups.map((each) => el("th", { scope: "colgroup", colspan: span }, each));
    node.replaceChildren(
      el(
        "table",
        {},
        el("thead", {}, groups.length ? el("tr", {}, el("td"), ...titles) : null, el("tr", {}, ...cells("th", head))),
        el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells("td", row)))),
      ),
    );
  }

  const betaText = (beta) => `β = ${minus(Words.plain(beta))}`;

  /** The swatch and the name of a guide. */
  const named = (now, kind, text) => el("span", {}, swatch(kind), kind === "beta" ? betaText(now.beta) : text);

  function words(now) {
    const explanation = Beliefs.explanation(now.problem, now.guides.beta, now.guides.clamped, now.of.beta, now.of.clamped);
    const { headline, rest } = Words.sentences(now.raw, explanation);
    now.explanation = explanation;
    now.flip = undefined;
    const flip = el("p", { id: "flip", hidden: true });
    byId("headline").textContent = `${headline}.`;
    byId("sentences").replaceChildren(...rest.map((each) => el("p", {}, each)), flip);
    byId("legend-beta").textContent = `this guide, ${betaText(now.beta)}`;
  }

  /** Show the β at which the preferred action changes, once it is found. */
  function flip(now) {
    byId("flip").hidden = false;
    byId("flip").textContent = Words.flipSentence(now.raw, now.flip, now.beta);
  }

  function scores(now) {
    const returns = GUIDES.map(([kind]) => [now.of[kind].imagined, now.of[kind].trueReturn, now.of[kind].delusion]);
    const reward = together([...returns.flat(), now.best]);
    const nats = together(GUIDES.map(([kind]) => now.of[kind].elbo));
    const rows = GUIDES.map(([kind, text], i) => [named(now, kind, text), ...returns[i].map(reward), nats(now.of[kind].elbo)]);
    rows.push(["best policy", reward(now.best), reward(now.best), reward(0), "–"]);
    table(byId("scores-table"), ["", "imagined", "true return", "delusion", "ELBO"], rows);
    const exact = now.gamma < 1 ? " with survival freed as well" : "";
    byId("scores").querySelector(".note").textContent =
      `Returns in reward units; the delusion is the imagined minus the true return. The exact posterior${exact} ` +
      `reaches log p(O) = ${amount(now.ledger.beta.logEvidence)} nats, which no ELBO exceeds. The best policy has the ` +
      "highest expected true return of all: risk-neutral, exact, without a temperature.";
  }

  const place = (now) => `${Words.statePhrase(now.raw, now.state)}, step t = ${now.time}`;

  function dynamics(now) {
    const { raw, problem, state, action, time } = now;
    const pair = state * problem.A + action;
    const from = problem.first[pair];
    const outcomes = Array.from({ length: problem.first[pair + 1] - from }, (_, i) => from + i);
    const event = { outcomes: outcomes.map((f) => ({ successor: problem.successor[f], reward: problem.reward[f] })) };
    const believed = (kind, f) => Math.exp(now.guides[kind].logDynamics[time * now.guides[kind].stride + f]);
    byId("dynamics").querySelector(".place").textContent = `${Words.actionPhrase(raw, action)} in ${place(now)}: probabilities of the outcomes`;
    const groups = outcomes.map((f, i) => ({
      label: minus(Words.outcomePhrase(raw, event, event.outcomes[i])),
      bars: [
        { kind: "true", name: "true", value: problem.p[f] },
        { kind: "beta", name: betaText(now.beta), value: believed("beta", f) },
        { kind: "free", name: "free", value: believed("free", f) },
      ],
    }));
    Draw.bars(byId("dynamics-bars"), groups);
  }

  function policy(now) {
    const { raw, problem, state, time } = now;
    const { S, A } = problem;
    byId("policy").querySelector(".place").textContent = `In ${place(now)}: probabilities of the actions`;
    const at = (time * S + state) * A;
    const groups = raw.actionNames.map((_, a) => ({
      label: Words.actionLabel(raw, a),
      bars: GUIDES.map(([kind, text]) => ({
        kind,
        name: kind === "beta" ? betaText(now.beta) : text,
        value: Math.exp(now.guides[kind].logPolicy[at + a]),
      })),
    }));
    Draw.bars(byId("policy-bars"), groups);
    const values = GUIDES.map(([kind]) => [now.guides[kind].v[time * S + state], ...now.guides[kind].q.subarray(at, at + A)]);
    const write = together(values.flat());
    const rows = GUIDES.map(([kind, text], i) => [named(now, kind, text), ...values[i].map(write)]);
    table(byId("values-table"), ["value", "V", ...raw.actionNames.map((_, a) => `Q ${Words.actionLabel(raw, a)}`)], rows);
  }

  function ledger(now) {
    const { beta, clamped } = now.ledger;
    byId("ledger-words").textContent = `At ${betaText(now.beta)}: ${minus(Words.ledgerHeadline(beta, now.gamma))}`;
    const blocks = BLOCKS.filter(([key]) => key !== "survival" || now.gamma < 1);
    const row = (kind, text, { totals, gap }) => [named(now, kind, text), ...blocks.map(([key]) => nats(totals[key])), nats(gap)];
    const heads = blocks.map(([key, text]) => el("span", {}, swatch(key), text));
    table(byId("ledger-table"), ["nats", ...heads, "gap"], [row("beta", "", beta), row("clamped", "clamped", clamped)]);
    const series = ({ totals, byStep }) => [
      { kind: "initial", values: Array.from(byStep.policy, (_, t) => (t ? 0 : totals.initial)) },
      ...blocks.slice(1).map(([key]) => ({ kind: key, values: byStep[key] })),
    ];
    for (const [kind, found] of [["beta", beta], ["clamped", clamped]]) {
      const parts = series(found);
      const heights = Array.from(found.byStep.policy, (_, t) => parts.reduce((sum, { values }) => sum + values[t], 0));
      const high = Math.max(...heights.filter(Number.isFinite));
      const label = `${kind === "beta" ? betaText(now.beta) : "clamped"}: gap by time step, ${nats(found.gap)} nats in total`;
      const caption = el("span", {}, named(now, kind, "clamped"), `: gap by time step, ${nats(found.gap)} nats in total`);
      const node = figure(byId("ledger-charts"), kind, caption);
      Draw.columns(node, { series: parts, high: high > 1e-9 ? high : 1, xLabel: "step t", yLabel: "nats", label });
    }
  }

  const nats = (value) => (Math.abs(value) < 1e-9 ? "0" : minus(Words.amount(value)));

  /** The element of a chart, with its caption; it is created once. */
  function figure(node, key, caption) {
    let found = node.querySelector(`[data-key="${key}"]`);
    if (!found) {
      found = el("figure", { "data-key": key }, el("figcaption"), el("div", { class: "chart" }));
      node.append(found);
    }
    found.firstChild.replaceChildren(caption);
    return found.lastChild;
  }

  /** Create the buttons of the states, once per problem: maps if there is a grid, else a table. */
  function build(now, select) {
    const { raw } = now;
    const listed = raw.stateNames.map((_, s) => s).filter((s) => !raw.layout?.cells.includes(s));
    now.maps = {};
    byId("maps").replaceChildren();
    if (raw.layout) {
      for (const [kind, text] of GUIDES) {
        now.maps[kind] = Maps.policyMap(raw, `Map of ${text}: choose a state`, select);
        byId("maps").append(el("figure", {}, el("figcaption"), now.maps[kind].node));
      }
    }
    now.stateButtons = listed.slice(0, MOST_ROWS).map((s) => ({
      state: s,
      node: el("button", { type: "button", onclick: () => select(s) }, Words.stateLabel(raw, s)),
    }));
    byId("states").replaceChildren();
    // Maps and episodes come first, side by side if the maps are narrow; a table of states comes below the policies.
    if (raw.layout) byId("samples").before(byId("places"));
    else byId("policy").after(byId("places"));
    const narrow = raw.layout && raw.layout.columns < NARROW * raw.layout.rows;
    for (const card of ["places", "samples"]) byId(card).classList.toggle("wide", !narrow);
  }

  function places(now) {
    const { raw, problem, time } = now;
    const { S, A } = problem;
    const values = (kind) => now.guides[kind].v.subarray(time * S, (time + 1) * S);
    for (const { state, node } of now.stateButtons) node.setAttribute("aria-pressed", state === now.state);
    if (!raw.layout) {
      byId("maps-note").textContent =
        `Values V and probabilities p(s) of being in the state, at step t = ${time}. Choose a state to see its policy and dynamics.` +
        (S > MOST_ROWS ? ` The first ${MOST_ROWS} of ${S} states.` : "");
      const heads = GUIDES.flatMap(() => ["V", "p(s)"]);
      const write = together(GUIDES.flatMap(([kind]) => [...values(kind)]));
      const rows = now.stateButtons.map(({ state, node }) => [
        node,
        ...GUIDES.flatMap(([kind]) => [write(values(kind)[state]), Draw.short(now.of[kind].visits.state[time * S + state])]),
      ]);
      const focused = document.activeElement;
      const groups = GUIDES.map(([kind, text]) => named(now, kind, text));
      table(byId("states"), ["state", ...heads], rows, groups);
      if (focused?.isConnected) focused.focus({ preventScroll: true });
      return;
    }
    const shown = raw.layout.cells.filter((s, i) => s >= 0 && !"GHC".includes(raw.layout.marks?.[i] ?? "."));
    const all = GUIDES.flatMap(([kind]) => shown.map((s) => values(kind)[s])).filter(Number.isFinite);
    const [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 0];
    const write = together(all);
    GUIDES.forEach(([kind, text], i) => {
      const guide = now.guides[kind];
      const steps = guide.logPolicy.subarray(time * S * A, (time + 1) * S * A).map(Math.exp);
      byId("maps").children[i].firstChild.replaceChildren(named(now, kind, text));
      now.maps[kind].show({ policy: steps, values: values(kind), write, low, high, selected: now.state });
    });
    byId("maps-note").textContent =
      `At step t = ${time}: arrows are the policy, longer if more probable; colour is the value V, from ${write(low)} (pale) to ` +
      `${write(high)} (strong). Choose a cell to see its policy and dynamics. S start, G goal, H hole, C cliff.`;
    if (!byId("states").hasChildNodes() && now.stateButtons.length) {
      byId("states").append(el("div", { class: "off" }, "Off the map:", ...now.stateButtons.map((each) => each.node)));
    }
  }

  function samples(now) {
    const { raw, problem, count, seed } = now;
    const kinds = [
      ["beta", "in the believed dynamics", now.guides.beta],
      ["true", "in the true world", Solver.inTruth(problem, now.guides.beta)],
    ];
    const drawn = kinds.map(([, , guide]) => Episodes.sample(problem, guide, count, seed));
    const visited = new Set(drawn.flat().flatMap(({ states }) => states));
    const rows = [...visited]
      .sort((one, other) => one - other)
      .map((state) => ({ state, name: state === problem.S ? "did not survive" : Words.stateLabel(raw, state) }));
    kinds.forEach(([kind, text], i) => {
      const mean = drawn[i].reduce((total, each) => total + each.total, 0) / count;
      const earned = `${count > 1 ? `mean return of these ${count}` : "return of this one"}: ${amount(mean)}`;
      const caption = el("span", {}, swatch(kind), text, el("br"), earned);
      const node = figure(byId("samples-charts"), kind, caption);
      const label = `Sampled episodes ${text}; ${earned}`;
      if (raw.layout) Maps.paths(node, raw, drawn[i], kind, label);
      else Draw.timelines(node, { paths: drawn[i].map((each) => each.states), rows, kind, T: now.T, label });
    });
  }

  function sweep(now) {
    const points = now.sweep.points;
    const of = (key) => points.map((each) => [each.beta, each[key]]);
    Draw.lines(byId("sweep-chart"), {
      series: [
        { kind: "beta", points: of("imagined") },
        { kind: "true", points: of("trueReturn") },
        { kind: "best", points: now.sweep.range.map((beta) => [beta, now.best]) },
      ],
      mark: now.beta,
      xs: now.sweep.range,
      xLabel: "optimism β",
      yLabel: "return",
      label: `Imagined and true return by optimism, from ${now.sweep.range[0]} to ${now.sweep.range[1]}; the best policy earns ${amount(now.best)}`,
    });
  }

  return { words, flip, scores, dynamics, policy, ledger, places, samples, sweep, build };
})();
