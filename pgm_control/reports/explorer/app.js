/* The page: its settings, their results, and the schedule of drawing. */
const explorer = (() => {
  const { el } = Draw;
  const SWEEP = { range: [-2, 2], step: 0.1 };
  const PATIENCE = 300; // ms without a change before sentences are read aloud and returns by optimism are computed
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const problems = new Map(data.problems.map((each) => [each.name, Problems.read(each)]));
  const now = { drawing: Editor.drawing, sweep: { points: [], range: SWEEP.range } };
  const sliders = {};
  let known = {};
  let pending = 0;
  let patience = 0;

  const rawOf = (name) => (name === Editor.NAME ? Editor.problem() : problems.get(name));

  /** Show a problem with its original settings, or with those of a link; optimism and episodes stay if `keep`. */
  function show(name, { values = {}, drawing, dynamics = {}, place = {}, keep = false } = {}) {
    if (name === Editor.NAME && !keep) Editor.draw(drawing);
    const raw = rawOf(name);
    Object.assign(now, { name, raw, theta: {}, dynamics, time: 0, state: Beliefs.argmax(raw.initial), action: 0 });
    now.fields = Settings.fields(raw, data.largest);
    for (const field of now.fields) {
      const stays = field.of === "drawing" || (keep && ["beta", "count", "seed"].includes(field.key));
      if (!stays) Settings.set(now, field, values[field.id] ?? field.value);
    }
    document.title = `${name.replaceAll("_", " ")} – the pgm-control explorer`;
    byId("problem").value = name;
    byId("summary").textContent = raw.summary;
    byId("editor").hidden = name !== Editor.NAME;
    byId("link-error").textContent = "";
    solve();
    const [event] = now.error ? [] : Beliefs.tiltedEvents(now.problem, now.guides.free, now.of.free.visits, 1);
    Object.assign(now, event && { state: event.state, action: event.action }, place);
    Cards.build(now, (state) => select({ state }));
    showSettings();
    draw();
  }

  /** Choose a problem, or the same one again with its original settings: a new entry in the browser's history. */
  const choose = (name, options = { keep: true }) => Address.enter(now, () => show(name, options));

  /** Follow the address: a link that was opened, a step back or forward, or nothing, which is the first problem. */
  function follow() {
    const found = Link.read(location.hash, problems, data.largest);
    const refused = found?.fault;
    Address.forget();
    if (!refused || !now.name) show(refused || !found ? data.start : found.name, refused || !found ? {} : found);
    byId("link-error").textContent = refused ?? "";
    if (!found) Address.soon(now);
  }

  /** Show a state, an action or a step. */
  function select(place) {
    Object.assign(now, place);
    const { state, action, time } = now;
    byId("state").value = state;
    byId("action").value = action;
    sliders.time.show(time);
    dieSliders();
    if (now.error) return;
    Cards.dynamics(now);
    Cards.policy(now);
    Cards.places(now);
    Address.soon(now);
  }

  /** Solve again what has changed: the free and clamped guides do not depend on this guide's optimism. */
  function solve() {
    const { raw, theta, dynamics, tau, T, gamma } = now;
    now.error = Array.from(raw.initial).some((p) => p > 0) ? "" : "The grid needs a start: paint one.";
    if (now.error) return;
    const key = JSON.stringify([theta, dynamics, tau, T, gamma]);
    if (known.raw !== raw || known.key !== key) {
      const problem = Solver.prepare(Problems.tables(raw, theta, dynamics));
      const settings = { tau, T, gamma };
      const free = Solver.solve(problem, { ...settings, beta: 1 });
      const clamped = Solver.solve(problem, { ...settings, beta: 0 });
      const best = gamma === 1 ? free : Solver.solve(problem, { ...settings, beta: 1 }, 1);
      const of = { free: Solver.evaluate(problem, free), clamped: Solver.evaluate(problem, clamped) };
      const ledger = Solver.ledger(problem, best, clamped, of.clamped.visits);
      now.best = BestPolicy.value(problem, settings);
      known = { raw, key, problem, free, clamped, best, of, ledger };
      now.sweep = { points: [], range: SWEEP.range };
    }
    const { problem, free, clamped, best, of, ledger } = known;
    const beta = Solver.solve(problem, { beta: now.beta, tau, T, gamma });
    now.problem = problem;
    now.guides = { free, clamped, beta };
    now.of = { ...of, beta: Solver.evaluate(problem, beta) };
    now.ledger = { clamped: ledger, beta: Solver.ledger(problem, best, beta, now.of.beta.visits) };
    if (![free, clamped, beta].every((each) => each.value < Infinity)) {
      now.error = "Rewards divided by this temperature overflow: raise the temperature.";
    }
  }

  function draw() {
    byId("problem-error").textContent = now.error;
    for (const card of document.querySelectorAll(".card:not(#editor)")) card.hidden = Boolean(now.error);
    for (const id of ["sentences", "headline"]) byId(id).hidden = Boolean(now.error);
    if (now.error) return;
    byId("sentences").setAttribute("aria-busy", "true");
    for (const card of ["words", "scores", "dynamics", "policy", "ledger", "places", "samples", "sweep"]) Cards[card](now);
    clearTimeout(patience);
    patience = setTimeout(settle, PATIENCE);
  }

  /** After a pause without changes: find the β at which the preferred action changes, read aloud, sweep over β. */
  function settle() {
    const { problem, guides, explanation, tau, T, gamma } = now;
    const settings = { tau, T, gamma };
    const still = () => guides === now.guides;
    const search = Beliefs.flipSearch(problem, guides.beta, guides.clamped, explanation);
    const spoken = () => {
      now.flip = search;
      if (search) Cards.flip(now);
      byId("sentences").setAttribute("aria-busy", "false");
      if (!now.sweep.points.length) sweep(settings);
    };
    if (search) slice(() => Beliefs.flipStep(problem, search, settings), still, spoken);
    else spoken();
  }

  /** Solve for many values of β. */
  function sweep(settings) {
    const { problem } = now;
    const [low, high] = SWEEP.range;
    const points = [];
    const step = () => {
      const beta = Number((low + points.length * SWEEP.step).toFixed(6));
      const { imagined, trueReturn } = Solver.evaluate(problem, Solver.solve(problem, { ...settings, beta }));
      return points.push({ beta, imagined, trueReturn }) > Math.round((high - low) / SWEEP.step);
    };
    slice(step, () => problem === now.problem, () => {
      now.sweep = { points, range: SWEEP.range };
      Cards.sweep(now);
    });
  }

  /** Long work in slices: call `step` until it returns true, then `done`; stop when no longer `wanted`. */
  function slice(step, wanted, done) {
    const until = performance.now() + 12;
    while (performance.now() < until) if (step()) return done();
    setTimeout(() => wanted() && slice(step, wanted, done), 4);
  }

  /** Solve and draw at once. */
  function update() {
    const start = performance.now();
    pending = 0;
    solve();
    draw();
    Address.soon(now);
    now.milliseconds = performance.now() - start;
    byId("timing").textContent = `Solved in this page, exactly, in ${now.milliseconds.toFixed(1)} ms.`;
  }

  /** Solve and draw once in the next frame, after any number of changes. */
  const soon = () => {
    if (!pending) pending = requestAnimationFrame(update);
  };

  /** Change a setting, and solve again. */
  const change = (field) => (value) => {
    Settings.set(now, field, value);
    if (field.key === "count" || field.key === "seed") {
      Cards.samples(now);
      return Address.soon(now);
    }
    if (field.key === "T") {
      now.time = Math.min(now.time, value - 1);
      timeSlider();
    }
    return soon();
  };

  function slider(node, options) {
    const made = Controls.slider(options);
    sliders[options.id] = made;
    node.append(made.node);
  }

  /** The sliders of the settings. */
  function showSettings() {
    const { raw } = now;
    const parents = { beta: "beta-setting", count: "samples-settings", seed: "samples-settings", theta: "parameters-settings" };
    for (const id of ["settings-settings", ...new Set(Object.values(parents))]) byId(id).replaceChildren();
    for (const field of now.fields.filter(({ of }) => of !== "drawing")) {
      const parent = byId(parents[field.of ?? field.key] ?? "settings-settings");
      slider(parent, { ...field, value: Settings.get(now, field), change: change(field) });
    }
    byId("parameters").hidden = !raw.parameters.length;
    showPlace();
  }

  /** The choices of what is shown. */
  function showPlace() {
    const { raw } = now;
    const choices = (id, labels) => {
      Controls.choices(byId(id), labels.map((label, value) => ({ value, label })));
      byId(id).value = now[id];
    };
    choices("state", raw.stateNames.map((_, s) => Words.stateLabel(raw, s)));
    choices("action", raw.actionNames.map((_, a) => Words.actionLabel(raw, a)));
    timeSlider();
    dieSliders();
  }

  function timeSlider() {
    sliders.time?.node.remove();
    if (now.T > 1 || !sliders.time) {
      slider(byId("place"), { id: "time", label: "step t", low: 0, high: Math.max(1, now.T - 1), step: 1, value: now.time, integer: true, change: (time) => select({ time }) });
    }
    sliders.time.node.hidden = now.T === 1;
  }

  /** A slider for each outcome of the action that is shown. */
  function dieSliders() {
    const { raw, state, action } = now;
    const key = Problems.pairKey(state, action);
    const K = raw.outcomes;
    const from = (state * raw.actions + action) * K;
    const possible = Array.from({ length: K }, (_, k) => k).filter((k) => raw.probability[from + k] > 0);
    const current = () => Problems.tables(raw, now.theta, now.dynamics).probability.slice(from, from + K);
    const event = { outcomes: possible.map((k) => ({ successor: raw.successor[from + k], reward: raw.reward[from + k] })) };
    const made = possible.map((k, i) =>
      Controls.slider({
        id: `outcome-${k}`,
        label: `true probability, ${Words.outcomePhrase(raw, event, event.outcomes[i])}`,
        low: 0,
        high: 1,
        step: 0.01,
        value: current()[k],
        change: (value) => {
          now.dynamics = { ...now.dynamics, [key]: Problems.withOutcome(current(), possible, k, value) };
          made.forEach((each, j) => j !== i && each.show(Number(now.dynamics[key][possible[j]].toFixed(6))));
          soon();
        },
      }),
    );
    const only = el("p", { class: "note" }, "This action has one outcome only, which is certain.");
    byId("dynamics-sliders").replaceChildren(...(possible.length > 1 ? made.map((each) => each.node) : [only]));
  }

  /** Solve the drawn grid again after a change, with the current settings. */
  function redraw() {
    const raw = Editor.problem();
    Object.assign(now, { raw, dynamics: {}, state: Math.min(now.state, raw.states - 1) });
    Cards.build(now, (state) => select({ state }));
    showPlace();
    update();
  }

  /** Create the controls that are the same for all problems, and follow the address. */
  function start() {
    const twin = (name) => name.endsWith("_twin") && problems.has(name.slice(0, -5));
    const option = (name) => ({ value: name, label: name.replaceAll("_", " ") });
    const names = [...problems.keys()];
    Controls.choices(byId("problem"), [
      { label: "Problems", options: [...names.filter((name) => !twin(name)).map(option), { value: Editor.NAME, label: Editor.NAME }] },
      { label: "Deterministic twins", options: names.filter(twin).map(option) },
    ]);
    byId("problem").addEventListener("change", () => choose(byId("problem").value));
    const marks = [[-1, "adversarial −1"], [0, "clamped 0"], [1, "free 1"]];
    const press = (value) => () => {
      sliders.beta.show(value);
      change({ key: "beta" })(value);
    };
    byId("optimism").append(el("div", { class: "marks" }, ...marks.map(([value, text]) => el("button", { type: "button", onclick: press(value) }, text))));
    const look = (id, label) => byId("place").append(Controls.choice({ id, label, options: [], change: (value) => select({ [id]: Number(value) }) }).node);
    look("state", "state");
    look("action", "action");
    byId("reset").addEventListener("click", () => choose(now.name, {}));
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address holds the settings
      byId("cards").focus();
    });
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    byId("more").open = !window.matchMedia("(max-width: 760px)").matches;
    Editor.build(redraw);
    follow();
    window.addEventListener("hashchange", follow);
    window.addEventListener("pagehide", () => Address.save(now));
    let width = window.innerWidth;
    window.addEventListener("resize", () => width !== window.innerWidth && ((width = window.innerWidth), soon()));
  }

  /** Start after the first paint, which does not wait for the first solution. */
  const ready = new Promise((resolve) => requestAnimationFrame(() => setTimeout(() => resolve(start()))));
  return { now, choose, update, problems, ready };
})();
window.explorer = explorer;
