/* Episodes drawn from a guide, determined by the seed. */
const Episodes = (() => {
  /** A generator of uniform numbers in [0, 1), determined by the seed (mulberry32). */
  function random(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let z = Math.imul(state ^ (state >>> 15), state | 1);
      z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
      return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** Draw n trajectories: states (S: ended), actions, returns in reward units. */
  function sample(problem, guide, n, seed) {
    const { S, A, F, first, successor, reward, finalReward } = problem;
    const uniform = random(seed);
    const draw = (log, from, to) => {
      let left = uniform();
      let last = from;
      for (let k = from; k < to; k++) {
        if (!(log[k] > -Infinity)) continue;
        last = k;
        left -= Math.exp(log[k]);
        if (left < 0) return k;
      }
      return last;
    };
    return Array.from({ length: n }, () => {
      const states = [draw(guide.logInitial, 0, S)];
      const actions = [];
      let total = 0;
      for (let t = 0; t < guide.T && states[t] < S; t++) {
        const pair = draw(guide.logPolicy, (t * S + states[t]) * A, (t * S + states[t] + 1) * A) - t * S * A;
        const at = t * guide.stride;
        const outcome = draw(guide.logDynamics, at + first[pair], at + first[pair + 1]) - at;
        total += reward[outcome];
        actions.push(pair % A);
        states.push(guide.gamma < 1 && uniform() >= guide.gamma ? S : successor[outcome]);
      }
      const last = states[states.length - 1];
      return { states, actions, total: total + (last < S ? finalReward[last] : 0) };
    });
  }

  return { sample };
})();
