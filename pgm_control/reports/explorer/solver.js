/* Exact inference for small problems: the backups of the Python package, with the same symbols and limits.
   Q_t(s,a) = L_beta[ r + gamma V_{t+1}(s') ]           V_t(s) = tau log sum_a rho(a|s) exp(Q_t(s,a) / tau)
   L_beta[x] = (tau / beta) log sum_k p_k exp(beta x_k / tau),   L_0[x] = sum_k p_k x_k

   The outcomes of (s, a) have the indices from first[s * A + a] up to, excluding, first[s * A + a + 1]. `prepare` leaves
   out those of probability zero. Tables are flat: q and logPolicy (T, S, A), v (T + 1, S), logDynamics (T, F).
   Values and returns are in reward units; the objective, the evidence and the ledger are in nats. */
const Solver = (() => {
  const NO_DIGITS = 2.2250738585072014e-308 / 2.220446049250313e-16;

  /** True where beta is so near 0 that beta x / tau has no digits left. */
  const isMean = (beta, tau) => Math.abs(beta) <= tau * NO_DIGITS;

  /** The certainty equivalent L_beta[x] of the entries from..to-1. Those of weight zero are ignored. */
  function equivalent(x, weight, logWeight, from, to, tau, beta) {
    let mean = 0;
    for (let k = from; k < to; k++) if (weight[k] > 0) mean += weight[k] * x[k];
    if (isMean(beta, tau)) return mean;
    const scale = beta / tau;
    const centre = Number.isFinite(mean) ? mean : 0;
    let widest = 0;
    let highest = -Infinity;
    for (let k = from; k < to; k++) {
      if (!(weight[k] > 0)) continue;
      widest = Math.max(widest, Math.abs(scale * (x[k] - centre)));
      highest = Math.max(highest, logWeight[k] + scale * x[k]);
    }
    let total = 0;
    if (widest < 0.5) {
      // Near beta = 0 the sum is 1 + O(beta): log1p keeps the digits that log would lose.
      for (let k = from; k < to; k++) if (weight[k] > 0) total += weight[k] * Math.expm1(scale * (x[k] - centre));
      return centre + Math.log1p(total) / scale;
    }
    if (!Number.isFinite(highest)) return highest / scale;
    for (let k = from; k < to; k++) if (weight[k] > 0) total += Math.exp(logWeight[k] + scale * x[k] - highest);
    const far = (highest + Math.log(total)) / scale;
    if (!(Math.abs(scale * far) < 1)) return far;
    // L[x] = c + L[x - c] restores the digits that a distant outcome costs at small beta.
    let rest = 0;
    for (let k = from; k < to; k++) if (weight[k] > 0) rest += weight[k] * Math.expm1(scale * (x[k] - far));
    return Math.abs(rest) < 0.5 ? far + Math.log1p(rest) / scale : far;
  }

  /** Write to out[at + k] the log-probabilities that attain the certainty equivalent. */
  function tilt(x, logWeight, from, to, tau, beta, out, at) {
    if (isMean(beta, tau)) {
      for (let k = from; k < to; k++) out[at + k] = logWeight[k];
      return;
    }
    const scale = beta / tau;
    let highest = -Infinity;
    for (let k = from; k < to; k++) if (logWeight[k] > -Infinity) highest = Math.max(highest, scale * x[k]);
    let top = -Infinity;
    for (let k = from; k < to; k++) {
      const y = scale * x[k];
      // +inf: an adversary chooses the forbidden outcomes; -inf: all are forbidden. In both cases these outcomes are equal.
      const gain = Number.isFinite(highest) ? y - highest : y === highest ? 0 : -Infinity;
      out[at + k] = logWeight[k] > -Infinity ? logWeight[k] + gain : -Infinity;
      top = Math.max(top, out[at + k]);
    }
    let total = 0;
    for (let k = from; k < to; k++) total += Math.exp(out[at + k] - top);
    const norm = top + Math.log(total);
    for (let k = from; k < to; k++) out[at + k] -= norm;
  }

  /** From dense tables (arrays over S, S * A or S * A * K) to lists of possible outcomes, rescaled to sum to 1 per (s, a). */
  function prepare({ states, actions, outcomes, initial, prior, probability, successor, reward, finalReward }) {
    const pairs = states * actions;
    const first = new Int32Array(pairs + 1);
    const kept = [];
    const p = [];
    for (let pair = 0; pair < pairs; pair++) {
      let total = 0;
      for (let k = 0; k < outcomes; k++) total += probability[pair * outcomes + k];
      for (let i = pair * outcomes; i < (pair + 1) * outcomes; i++) {
        if (!(probability[i] > 0)) continue;
        kept.push(i);
        p.push(probability[i] / total);
      }
      first[pair + 1] = kept.length;
    }
    const weights = prior ? Float64Array.from(prior) : new Float64Array(pairs).fill(1 / actions);
    return {
      S: states,
      A: actions,
      K: outcomes,
      F: kept.length,
      first,
      outcome: Int32Array.from(kept, (i) => i % outcomes),
      p: Float64Array.from(p),
      logP: Float64Array.from(p, Math.log),
      successor: Int32Array.from(kept, (i) => successor[i]),
      reward: Float64Array.from(kept, (i) => reward[i]),
      initial: Float64Array.from(initial),
      logInitial: Float64Array.from(initial, Math.log),
      prior: weights,
      logPrior: weights.map(Math.log),
      finalReward: finalReward ? Float64Array.from(finalReward) : new Float64Array(states),
    };
  }

  /** The exact optimum of J_beta, by one backward sweep. `frees` is the beta of survival (default: 0, clamped). */
  function solve(problem, { beta, tau, T, gamma }, frees = 0) {
    const { S, A, F, first, p, logP, successor, reward, prior, logPrior } = problem;
    const clamped = isMean(beta, tau) || F === S * A; // one outcome for each action: nothing can be tilted
    const q = new Float64Array(T * S * A);
    const v = new Float64Array((T + 1) * S);
    const logPolicy = new Float64Array(T * S * A);
    const logDynamics = clamped ? logP : new Float64Array(T * F);
    const x = new Float64Array(F);
    const here = new Float64Array(S * A);
    const row = new Float64Array(S * A);
    v.set(problem.finalReward, T * S);
    for (let t = T - 1; t >= 0; t--) {
      const ahead = survive(v.subarray((t + 1) * S, (t + 2) * S), gamma, tau, frees);
      for (let f = 0; f < F; f++) x[f] = reward[f] + ahead[successor[f]];
      for (let pair = 0; pair < S * A; pair++) {
        here[pair] = equivalent(x, p, logP, first[pair], first[pair + 1], tau, clamped ? 0 : beta);
        if (!clamped) tilt(x, logP, first[pair], first[pair + 1], tau, beta, logDynamics, t * F);
      }
      for (let s = 0; s < S; s++) {
        v[t * S + s] = equivalent(here, prior, logPrior, s * A, (s + 1) * A, tau, 1);
        tilt(here, logPrior, s * A, (s + 1) * A, tau, 1, row, 0);
      }
      q.set(here, t * S * A);
      logPolicy.set(row, t * S * A);
    }
    const start = v.subarray(0, S);
    const logInitial = new Float64Array(S);
    tilt(start, problem.logInitial, 0, S, tau, beta, logInitial, 0);
    const value = equivalent(start, problem.initial, problem.logInitial, 0, S, tau, beta);
    const stride = clamped ? 0 : F; // the true dynamics are the same at all times
    return { beta, tau, T, gamma, q, v, logPolicy, logDynamics, stride, logInitial, value, objective: value / tau };
  }

  /** The value of the next state before it is known whether the step is survived. */
  function survive(v, gamma, tau, beta) {
    if (gamma === 1) return v;
    const continuation = [gamma, 1 - gamma];
    const logContinuation = continuation.map(Math.log);
    return v.map((each) => equivalent([each, 0], continuation, logContinuation, 0, 2, tau, beta));
  }

  /** A guide with the policy of the answer, and the true start and dynamics. */
  const inTruth = (problem, answer) => ({ ...answer, logInitial: problem.logInitial, logDynamics: problem.logP, stride: 0 });

  /** The occupancy of each state, (T + 1, S), and of each outcome, (T, F), by a forward sweep. */
  function occupancy(problem, guide) {
    const { S, A, F, first, successor } = problem;
    const { T, gamma, logPolicy, logDynamics, stride } = guide;
    const state = new Float64Array((T + 1) * S);
    const outcome = new Float64Array(T * F);
    state.set(guide.logInitial.map(Math.exp));
    for (let t = 0; t < T; t++) {
      for (let pair = 0; pair < S * A; pair++) {
        const weight = state[t * S + Math.floor(pair / A)] * Math.exp(logPolicy[t * S * A + pair]);
        if (!(weight > 0)) continue;
        for (let f = first[pair]; f < first[pair + 1]; f++) {
          const mass = weight * Math.exp(logDynamics[t * stride + f]);
          outcome[t * F + f] = mass;
          state[(t + 1) * S + successor[f]] += mass * gamma;
        }
      }
    }
    return { state, outcome };
  }

  /** The expected return of the occupancies; impossible outcomes do not count. */
  function expectedReturn(problem, visits, T) {
    const { S, F, reward, finalReward } = problem;
    let total = 0;
    for (let i = 0; i < T * F; i++) if (visits.outcome[i] > 0) total += visits.outcome[i] * reward[i % F];
    for (let s = 0; s < S; s++) if (visits.state[T * S + s] > 0) total += visits.state[T * S + s] * finalReward[s];
    return total;
  }

  const minus = (one, other) => (one === other ? 0 : one - other);

  /** q (log q - log p), and 0 where q is 0. */
  const relative = (logQ, logP) => {
    const q = Math.exp(logQ);
    return q > 0 ? q * (logQ - logP) : 0;
  };

  /** The states in which an episode has ended: every feasible action stays there and pays 0. */
  function endedStates(problem) {
    const { S, A, first, successor, reward } = problem;
    const ended = new Array(S).fill(true);
    for (let s = 0; s < S; s++) {
      for (let f = first[s * A]; f < first[(s + 1) * A]; f++) {
        if (reward[f] > -Infinity && (successor[f] !== s || reward[f] !== 0)) ended[s] = false;
      }
    }
    return ended;
  }

  /** The imagined return of a guide, the true return of its policy, and its ELBO. */
  function evaluate(problem, guide) {
    const { S, A, first } = problem;
    const { T, tau, logPolicy } = guide;
    const visits = occupancy(problem, guide);
    const truly = occupancy(problem, inTruth(problem, guide));
    const imagined = expectedReturn(problem, visits, T);
    const trueReturn = expectedReturn(problem, truly, T);
    let charges = 0;
    for (let s = 0; s < S; s++) charges += relative(guide.logInitial[s], problem.logInitial[s]);
    const ended = endedStates(problem);
    let entropy = 0;
    for (let t = 0; t < T; t++) {
      for (let pair = 0; pair < S * A; pair++) {
        const i = t * S * A + pair;
        const at = t * S + Math.floor(pair / A);
        const weight = visits.state[at];
        if (truly.state[at] > 0 && !ended[at % S]) entropy -= truly.state[at] * relative(logPolicy[i], 0);
        if (!(weight > 0)) continue;
        charges += weight * relative(logPolicy[i], problem.logPrior[pair]);
        if (guide.stride === 0 || !(logPolicy[i] > -Infinity)) continue;
        charges += weight * Math.exp(logPolicy[i]) * eventKl(guide, t, first[pair], first[pair + 1], problem.logP, 0);
      }
    }
    const elbo = imagined / tau - charges;
    return { imagined, trueReturn, delusion: minus(imagined, trueReturn), entropy, elbo, visits, truly };
  }

  /** KL of the guide's outcomes from..to-1 at time t from those in `log` at the given offset. */
  function eventKl(guide, t, from, to, log, offset) {
    let kl = 0;
    for (let f = from; f < to; f++) kl += relative(guide.logDynamics[t * guide.stride + f], log[offset + f]);
    return kl;
  }

  /** The gap to `best`, by block and step, in nats. `best` is the exact posterior, with every block free. */
  function ledger(problem, best, guide, visits) {
    const { S, A, F, first, successor } = problem;
    const { T, gamma, tau } = guide;
    const byStep = { policy: new Float64Array(T), dynamics: new Float64Array(T), survival: new Float64Array(T) };
    const nothing = { initial: 0, policy: 0, dynamics: 0, survival: 0 };
    // If no trajectory is possible, all guides are equally good.
    if (best.objective === -Infinity) return { logEvidence: best.objective, totals: nothing, gap: 0, byStep };
    let initial = 0;
    for (let s = 0; s < S; s++) initial += relative(guide.logInitial[s], best.logInitial[s]);
    const continuation = [gamma, 1 - gamma].map(Math.log);
    const optimal = new Float64Array(2);
    for (let t = 0; t < T; t++) {
      for (let pair = 0; pair < S * A; pair++) {
        const i = t * S * A + pair;
        const weight = visits.state[t * S + Math.floor(pair / A)];
        if (!(weight > 0)) continue;
        byStep.policy[t] += weight * relative(guide.logPolicy[i], best.logPolicy[i]);
        const chosen = weight * Math.exp(guide.logPolicy[i]);
        if (!(chosen > 0)) continue;
        byStep.dynamics[t] += chosen * eventKl(guide, t, first[pair], first[pair + 1], best.logDynamics, t * best.stride);
      }
      if (gamma === 1) continue;
      for (let f = 0; f < F; f++) {
        const mass = visits.outcome[t * F + f];
        if (!(mass > 0)) continue;
        tilt([best.v[(t + 1) * S + successor[f]], 0], continuation, 0, 2, tau, 1, optimal, 0);
        byStep.survival[t] += mass * (relative(continuation[0], optimal[0]) + relative(continuation[1], optimal[1]));
      }
    }
    const [policy, dynamics, survival] = Object.values(byStep).map((each) => each.reduce((sum, nats) => sum + nats, 0));
    const totals = { initial, policy, dynamics, survival };
    const gap = totals.initial + totals.policy + totals.dynamics + totals.survival;
    return { logEvidence: best.objective, totals, gap, byStep };
  }

  return { prepare, solve, evaluate, ledger, inTruth, eventKl, relative };
})();
