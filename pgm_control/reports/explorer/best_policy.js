/* The best policy: the highest expected return in the true world, risk-neutral, without a temperature. */
const BestPolicy = (() => {
  /** V_t(s) = max_a E[r + gamma V_{t+1}(s')] over the actions that the prior allows; the expectation of V_0 at the start. */
  function value(problem, { T, gamma }) {
    const { S, A, first, p, successor, reward, prior, initial, finalReward } = problem;
    let v = finalReward;
    for (let t = T - 1; t >= 0; t--) {
      const ahead = v;
      v = new Float64Array(S).fill(-Infinity);
      for (let pair = 0; pair < S * A; pair++) {
        if (!(prior[pair] > 0)) continue;
        let mean = 0;
        for (let f = first[pair]; f < first[pair + 1]; f++) mean += p[f] * (reward[f] + gamma * ahead[successor[f]]);
        const s = Math.floor(pair / A);
        v[s] = Math.max(v[s], mean);
      }
    }
    return initial.reduce((total, weight, s) => (weight > 0 ? total + weight * v[s] : total), 0);
  }

  return { value };
})();
