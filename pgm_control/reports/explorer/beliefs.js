/* The facts behind the sentences: beliefs and choices of a guide beside the truth and the clamped guide. */
const Beliefs = (() => {
  const { relative, eventKl } = Solver;
  const WORTH_SAYING = 0.05; // of the largest tilt
  const KEPT = 3;
  const NEARLY_ALIKE = 0.01;
  const ROUNDINGS = 1000;
  const FLIP_GRAIN = 1e-6; // of beta

  /** The index of the largest entry; of equal entries the first. */
  const argmax = (values) => values.reduce((best, each, i) => (each > values[best] ? i : best), 0);

  /** Expected KL of the believed from the true outcomes by (s, a), summed over the steps; and expected counts of (s, a). */
  function tilts(problem, guide, visits) {
    const { S, A, F, first, logP } = problem;
    const tilt = new Float64Array(S * A);
    const eventVisits = new Float64Array(S * A);
    for (let t = 0; t < guide.T; t++) {
      for (let pair = 0; pair < S * A; pair++) {
        let weight = 0;
        for (let f = first[pair]; f < first[pair + 1]; f++) weight += visits.outcome[t * F + f];
        if (!(weight > 0)) continue;
        eventVisits[pair] += weight;
        if (guide.stride) tilt[pair] += weight * eventKl(guide, t, first[pair], first[pair + 1], logP, 0);
      }
    }
    return { tilt, eventVisits };
  }

  /** The events that the guide tilts, at most one per state, the most tilted first. */
  function tiltedEvents(problem, guide, visits, most = KEPT) {
    const { S, A } = problem;
    const { tilt, eventVisits } = tilts(problem, guide, visits);
    const actions = Array.from({ length: S }, (_, s) => argmax(tilt.subarray(s * A, (s + 1) * A)));
    const height = (s) => tilt[s * A + actions[s]];
    const states = Array.from({ length: S }, (_, s) => s).sort((one, other) => height(other) - height(one));
    const worth = Math.max(100 * Number.EPSILON, WORTH_SAYING * height(states[0]));
    return states
      .slice(0, most)
      .filter((s) => height(s) > 100 * Number.EPSILON && height(s) >= worth)
      .map((s) => believedEvent(problem, guide, visits, s, actions[s], eventVisits[s * A + actions[s]]));
  }

  /** The believed outcomes of one event, averaged over the steps of its visits; equal outcomes are merged. */
  function believedEvent(problem, guide, visits, state, action, eventVisits) {
    const { A, F, first, successor, reward, p } = problem;
    const pair = state * A + action;
    const outcomes = new Map();
    for (let f = first[pair]; f < first[pair + 1]; f++) {
      let believed = eventVisits > 0 ? 0 : Math.exp(guide.logDynamics[f]);
      if (eventVisits > 0) for (let t = 0; t < guide.T; t++) believed += visits.outcome[t * F + f] / eventVisits;
      const key = `${successor[f]} ${reward[f]}`;
      const outcome = outcomes.get(key) ?? { successor: successor[f], reward: reward[f], true: 0, believed: 0 };
      outcome.true += p[f];
      outcome.believed += believed;
      outcomes.set(key, outcome);
    }
    const found = [...outcomes.values()].sort((one, other) => one.true - one.believed - (other.true - other.believed));
    const surprise = (outcome) => outcome.true * Math.log(outcome.true / Math.max(outcome.believed, 1e-300));
    return { state, action, eventVisits, outcomes: found, raised: found[0], denied: found[argmax(found.map(surprise))] };
  }

  /** The policies of the guide and of the clamped guide in a state at a step. */
  function choice(problem, guide, clamped, time, state) {
    const { S, A } = problem;
    const at = (time * S + state) * A;
    const policy = (answer) => Array.from(answer.logPolicy.subarray(at, at + A), Math.exp);
    const [one, other] = [policy(guide), policy(clamped)];
    const change = one.map((each, a) => each - other[a]);
    return { time, state, guide: one, clamped: other, change, apart: Math.max(...change.map(Math.abs)) };
  }

  /** The state and step at which the policies differ the most, weighted by the mean of the two believed occupancies. */
  function mostDifferent(problem, guide, clamped, visits, clampedVisits) {
    const { S, A } = problem;
    let best = 0;
    let most = -1;
    for (let i = 0; i < guide.T * S; i++) {
      const visited = (visits.state[i] + clampedVisits.state[i]) / 2;
      let apart = 0;
      for (let a = i * A; a < (i + 1) * A; a++) {
        apart = Math.max(apart, Math.abs(Math.exp(guide.logPolicy[a]) - Math.exp(clamped.logPolicy[a])));
      }
      if (visited * apart > most) [best, most] = [i, visited * apart];
    }
    return choice(problem, guide, clamped, Math.floor(best / S), best % S);
  }

  /** The facts of the sentences about `guide` beside `clamped`; `of` and `ofClamped` are their evaluations. */
  function explanation(problem, guide, clamped, of, ofClamped) {
    const events = tiltedEvents(problem, guide, of.visits);
    const allTilts = tilts(problem, guide, of.visits).tilt;
    let startTilt = 0;
    for (let s = 0; s < problem.S; s++) startTilt += relative(guide.logInitial[s], problem.logInitial[s]);
    const kept = events.map((event) => allTilts[event.state * problem.A + event.action]);
    const largest = Math.max(of.elbo - ofClamped.elbo, startTilt, ...kept);
    const start = argmax(problem.initial);
    const raisedStart = argmax(guide.logInitial.map((each, s) => Math.exp(each) - problem.initial[s]));
    const tilted = kept.reduce((total, each) => total + each, startTilt);
    return {
      beta: guide.beta,
      tau: guide.tau,
      T: guide.T,
      gamma: guide.gamma,
      guide: of,
      clamped: ofClamped,
      events,
      raisedStart:
        startTilt > 0.01 * tilted
          ? { state: raisedStart, believed: Math.exp(guide.logInitial[raisedStart]), true: problem.initial[raisedStart] }
          : null,
      atStart: choice(problem, guide, clamped, 0, start),
      farthest: mostDifferent(problem, guide, clamped, of.visits, ofClamped.visits),
      differs: largest > Math.sqrt(Number.EPSILON) * Math.max(1, Math.abs(of.elbo)),
      isRandom: problem.F > problem.S * problem.A,
      sureStart: problem.initial.filter((p) => p > 0).length === 1,
      objectives: { guide: guide.objective, clamped: clamped.objective },
    };
  }

  /** The most probable action in a state at a step; of actions equal up to rounding, the first. */
  function preferred({ S, A }, guide, time, state) {
    const at = (time * S + state) * A;
    const log = guide.logPolicy.subarray(at, at + A);
    const size = guide.q.subarray(at, at + A).reduce((sum, q) => sum + (Number.isFinite(q) ? Math.abs(q) : 0), 0);
    const slack = ROUNDINGS * Number.EPSILON * Math.max(1, size / guide.tau);
    const best = Math.max(...log);
    return log.findIndex((each) => each >= best - slack);
  }

  /** The choice to explain: the first one or, if the guides nearly agree there, the one that differs the most. */
  const telling = ({ atStart, farthest }) =>
    atStart.apart < NEARLY_ALIKE && farthest.apart >= NEARLY_ALIKE ? farthest : atStart;

  /** The search for the optimism, from 0 to that of the guide, at which the preferred action changes; null if none. */
  function flipSearch(problem, guide, clamped, explanation) {
    const { time, state, apart } = telling(explanation);
    if (!explanation.differs || apart < NEARLY_ALIKE) return null;
    const of = (answer) => preferred(problem, answer, time, state);
    const found = { low: 0, high: guide.beta, before: of(clamped), after: of(guide) };
    return found.before === found.after ? null : { ...found, of };
  }

  /** One step of bisection; true when the interval is small enough. */
  function flipStep(problem, search, settings) {
    const middle = 0.5 * (search.low + search.high);
    const found = search.of(Solver.solve(problem, { ...settings, beta: middle }));
    if (found === search.before) search.low = middle;
    else Object.assign(search, { high: middle, after: found });
    search.optimism = 0.5 * (search.low + search.high);
    return Math.abs(search.high - search.low) < FLIP_GRAIN;
  }

  return { explanation, tiltedEvents, argmax, flipSearch, flipStep };
})();
