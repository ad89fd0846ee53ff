/* Numbers and names as the Python package writes them, and the sentences that explain a guide's answer to a problem. */
const Words = (() => {
  const MILLIONTH = 1e-6;
  const NEARLY_ALIKE = 0.01;
  const ALIKE = 1e-6;
  const NAMED = 4;
  const NOISE = Math.sqrt(Number.EPSILON);
  const ROUNDING = 1e-12; // share of the largest of several numbers; smaller ones are rounding errors of 0

  /** A number with fixed decimals; trailing zeros are removed only if the number is exact. */
  function decimals(value, digits) {
    const text = value.toFixed(digits);
    const exact = Math.abs(Number(text) - value) <= 1e-12 * Math.max(1, Math.abs(value));
    return exact && text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
  }

  /** A probability that never rounds to 0 or 1. */
  function chance(probability) {
    if (probability < MILLIONTH) return "less than 1 in a million";
    if (probability > 1 - MILLIONTH) return "more than 999,999 in a million";
    const rarer = Math.min(probability, 1 - probability);
    return decimals(probability, Math.max(3, 1 - Math.floor(Math.log10(rarer))));
  }

  /** A number with four digits or more, at least two of them decimals unless the number is shorter. */
  function amount(value) {
    if (Number.isNaN(value)) return "nan";
    if (!Number.isFinite(value)) return value > 0 ? "infinity" : "minus infinity";
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size < MILLIONTH || size >= 1e6) return significant(value, 4);
    return decimals(value, Math.max(2, 3 - Math.floor(Math.log10(size))));
  }

  /** A function that writes amounts shown together: beside the largest of these values, rounding errors are 0. */
  function together(values) {
    const largest = Array.from(values, Math.abs).reduce((most, size) => (Number.isFinite(size) && size > most ? size : most), 0);
    return (value) => amount(Math.abs(value) <= ROUNDING * largest ? 0 : value);
  }

  /** A number with `count` significant digits, with an exponent if the number is long: Python's `:.4g`. */
  function significant(value, count) {
    const [digits, power] = value.toExponential(count - 1).split("e");
    if (value === 0 || (Number(power) >= -4 && Number(power) < count)) return String(Number(value.toPrecision(count)));
    return `${Number(digits)}e${power[0]}${power.slice(1).padStart(2, "0")}`;
  }

  /** A setting in Python's format `:g`. */
  const plain = (value) => significant(value, 6);

  const whole = (name) => /^\d+$/.test(name);

  function noun(kind, name, quotedAlone) {
    if (new RegExp(`^${kind} \\S+$`).test(name)) return name;
    if (name && !/\p{L}/u.test(name)) return `${kind} ${name}`;
    return quotedAlone ? `"${name}"` : `${kind} "${name}"`;
  }

  const stateLabel = (raw, s) => (whole(raw.stateNames[s]) ? `state ${raw.stateNames[s]}` : raw.stateNames[s]);
  const actionLabel = (raw, a) => (whole(raw.actionNames[a]) ? `action ${raw.actionNames[a]}` : raw.actionNames[a]);
  const statePhrase = (raw, s) => noun("state", raw.stateNames[s], false);
  const actionPhrase = (raw, a) => noun("action", raw.actionNames[a], true);
  const rewardPhrase = (reward) => (reward === -Infinity ? "forbidden" : `reward ${amount(reward)}`);

  /** `to state "at home" (reward 8)`; if every outcome leads to the same state, the reward alone. */
  function outcomePhrase(raw, event, outcome) {
    if (new Set(event.outcomes.map((each) => each.successor)).size === 1) return amount(outcome.reward);
    const target = `to ${statePhrase(raw, outcome.successor)}`;
    return new Set(event.outcomes.map((each) => each.reward)).size === 1 ? target : `${target} (${rewardPhrase(outcome.reward)})`;
  }

  /** The name of the guide that is compared with the clamped one. */
  const called = (beta) => (beta === 1 ? "The free guide" : `The guide of β = ${plain(beta)}`);
  const but = ({ imagined, trueReturn }) => (imagined > trueReturn ? "but" : "and");
  const startPhrase = (raw, { sureStart }, s) => `${sureStart ? "At the start, in" : "Starting in"} ${statePhrase(raw, s)},`;
  const bound = (beta, gamma) => (gamma === 1 && beta === 1 ? "log p(O) =" : "an ELBO of");

  function eventSentence(raw, event, first, { beta, T }) {
    const verb = new Set(event.outcomes.map((each) => each.successor)).size === 1 ? "pays" : "leads";
    const belief = `${beta > 0 ? "luck" : "bad luck"}${T > 1 ? " (averaged over an episode)" : ""}`;
    let text = first ? `${called(beta)} believes in ${belief}:` : "It also believes that";
    text += ` ${actionPhrase(raw, event.action)} in ${statePhrase(raw, event.state)} ${verb} `;
    text += `${outcomePhrase(raw, event, event.raised)} with probability ${chance(event.raised.believed)}`;
    text += ` (truly ${chance(event.raised.true)})`;
    if (event.outcomes.length > 2 && event.denied.believed < event.denied.true) {
      text += `, and ${outcomePhrase(raw, event, event.denied)} only with probability ${chance(event.denied.believed)}`;
      text += ` (truly ${chance(event.denied.true)})`;
    }
    return `${text}.`;
  }

  function startSentence(raw, raisedStart, first, { beta }) {
    const belief = beta > 0 ? "a lucky start" : "an unlucky start";
    const opening = first ? `${called(beta)} believes in ${belief}` : `It believes in ${belief} as well`;
    const chances = `${chance(raisedStart.believed)} (truly ${chance(raisedStart.true)})`;
    return `${opening}: ${statePhrase(raw, raisedStart.state)} comes with probability ${chances}.`;
  }

  function choiceSentence(raw, explanation) {
    const { atStart, farthest } = explanation;
    const place = startPhrase(raw, explanation, atStart.state);
    if (atStart.apart >= NEARLY_ALIKE) return `${place} it therefore chooses ${choices(raw, atStart)}`;
    if (farthest.apart <= ALIKE) return `${place} the two choose alike, and so they do everywhere.`;
    const alike = `${place} the two choose alike to within ${chance(Math.max(atStart.apart, ALIKE))}`;
    if (farthest.apart < NEARLY_ALIKE) {
      return `${alike}; where they differ most, they do so by ${chance(farthest.apart)}.`;
    }
    const there = `they differ most in ${statePhrase(raw, farthest.state)} at t = ${farthest.time}`;
    return `${alike}; ${there}. There it chooses ${choices(raw, farthest)}`;
  }

  function choices(raw, { guide, clamped, change }) {
    const more = change.indexOf(Math.max(...change));
    const less = change.indexOf(Math.min(...change));
    const named = [actionPhrase(raw, more), actionPhrase(raw, less)];
    return (
      `${named[0]} with probability ${chance(guide[more])} and ${named[1]} with ${chance(guide[less])}; ` +
      `the clamped guide, which takes luck as it comes, chooses ${named[0]} with probability ` +
      `${chance(clamped[more])} and ${named[1]} with ${chance(clamped[less])}.`
    );
  }

  /** The β between 0 and this guide's at which the preferred action changes. */
  function flipSentence(raw, { before, after, optimism }, beta) {
    const end = beta === 1 ? "1 (free)" : plain(beta);
    return (
      `Between β = 0 (clamped) and ${end} the preferred action flips from ${actionPhrase(raw, before)} ` +
      `to ${actionPhrase(raw, after)} at β = ${significant(optimism, 3)}.`
    );
  }

  function returnsSentence({ beta, guide, clamped }) {
    const { imagined, trueReturn, delusion } = guide;
    let earned = `and truly earns ${amount(trueReturn)}, which is ${amount(-delusion)} more`;
    if (delusion > 0) earned = `but truly earns ${amount(trueReturn)}, a delusion of ${amount(delusion)}`;
    if (Math.abs(delusion) <= NOISE * Math.max(1, Math.min(Math.abs(imagined), Math.abs(trueReturn)))) {
      earned = "and truly earns the same";
    }
    return (
      `${called(beta)} imagines a return of ${amount(imagined)} reward units ${earned}; ` +
      `the clamped guide imagines ${amount(clamped.imagined)} and truly earns the same.`
    );
  }

  function priceSentence({ beta, tau, guide, clamped }) {
    const belief = beta > 0 ? "Optimism" : "Pessimism";
    const policy = beta === 1 ? "the free policy" : "its policy";
    const cost = clamped.trueReturn - guide.trueReturn;
    if (!Number.isFinite(clamped.trueReturn)) {
      return "No policy is safe here: a forbidden outcome cannot be avoided in the true world.";
    }
    if (!Number.isFinite(cost)) {
      return `The price of ${belief.toLowerCase()} is infinite: ${policy} may reach a forbidden outcome in the true world.`;
    }
    if (Math.abs(cost) <= NOISE * Math.max(1, Math.abs(clamped.trueReturn))) {
      return `${belief} costs nothing here: both truly earn the same.`;
    }
    if (cost > 0) return `${belief} costs ${amount(cost)} reward units an episode in the true world.`;
    return (
      `${belief} costs nothing here: ${policy} truly earns ${amount(-cost)} more. At temperature ${plain(tau)} ` +
      "the clamped policy is the best trade of return for entropy, not the best return."
    );
  }

  function evidenceSentence({ beta, gamma, guide, clamped, objectives }) {
    if (beta !== 1) {
      return (
        `The best objective J_β is ${amount(objectives.guide)} nats at β = ${plain(beta)}, and ` +
        `${amount(objectives.clamped)} at β = 0; the ELBO of this guide is ${amount(guide.elbo)} nats.`
      );
    }
    return (
      `The free guide reaches ${bound(1, gamma)} ${amount(guide.elbo)} nats, and no clamped guide an ELBO above ` +
      `${amount(clamped.elbo)}: a gap of ${amount(guide.elbo - clamped.elbo)} nats.` +
      (gamma === 1 ? "" : " Both leave survival alone; a guide that freed it too would reach more.")
    );
  }

  function noDifference(raw, explanation) {
    const { beta, gamma, guide, atStart, isRandom, sureStart } = explanation;
    const both = beta === 1 ? "free and clamped inference" : `β = ${plain(beta)} and clamped inference`;
    const alike = sureStart ? "" : " and no start is worth more than another";
    let reason = `the dynamics are deterministic${alike}, so there is no luck to believe in`;
    if (isRandom) reason = "no outcome of a random event is worth more than another, so nothing is won by believing in luck";
    if (beta === 0) reason = "with β = 0 a guide believes in the true dynamics";
    return [
      `There is no difference between ${both}: ${reason}.`,
      `${startPhrase(raw, explanation, atStart.state)} both choose ${likeliest(raw, atStart.guide)}.`,
      `Both imagine a return of ${amount(guide.imagined)} reward units and truly earn it.`,
      `Both reach ${bound(beta, gamma)} ${amount(guide.elbo)} nats: a gap of 0.`,
    ];
  }

  function likeliest(raw, probabilities) {
    const best = Math.max(...probabilities);
    const tied = probabilities.flatMap((each, a) => (each >= best - ALIKE ? [actionPhrase(raw, a)] : []));
    if (tied.length === 1) return `${tied[0]} with probability ${chance(best)}`;
    const list = `${tied.slice(0, -1).join(", ")} or ${tied[tied.length - 1]}`;
    return `${tied.length <= NAMED ? list : `any of ${tied.length} actions`} with probability ${chance(best)} each`;
  }

  /** A headline and the sentences, from what `Beliefs.explanation` found; those of Python's `explain(model, beta, flip=False)`. */
  function sentences(raw, explanation) {
    const { beta, guide, clamped, events, raisedStart, differs } = explanation;
    if (!differs) {
      const both = beta === 1 ? "free and clamped" : `β = ${plain(beta)} and clamped`;
      const headline = `No difference: ${both} believe the same and truly earn ${amount(guide.trueReturn)}`;
      return { headline, rest: noDifference(raw, explanation) };
    }
    const rest = events.slice(0, 2).map((event, i) => eventSentence(raw, event, i === 0, explanation));
    if (raisedStart) rest.push(startSentence(raw, raisedStart, !events.length, explanation));
    rest.push(choiceSentence(raw, explanation), returnsSentence(explanation), priceSentence(explanation), evidenceSentence(explanation));
    const headline =
      `${called(beta)} imagines ${amount(guide.imagined)} ${but(guide)} truly earns ${amount(guide.trueReturn)}; ` +
      `the clamped guide earns ${amount(clamped.trueReturn)}`;
    return { headline, rest };
  }

  /** The gap to the exact posterior, in one sentence. */
  function ledgerHeadline({ totals, gap, logEvidence }, gamma) {
    const names = { initial: "the start", policy: "the policy", dynamics: "the dynamics", survival: "survival" };
    const short = { ...names, initial: "start", policy: "policy", dynamics: "dynamics" };
    const rounding = 1e-12 * Math.max(1, Math.abs(logEvidence));
    if (logEvidence === -Infinity) return "No gap: nothing is possible here, so that every guide is as good as any other.";
    const counts = Object.keys(totals).filter((name) => Math.abs(totals[name]) > rounding);
    if (!counts.length) return "No gap: the guide is the exact posterior.";
    if (!Number.isFinite(gap)) {
      const guilty = counts.filter((name) => !Number.isFinite(totals[name])).map((name) => short[name]);
      return `The gap is ${amount(gap)}: the guide's ${guilty.join(" and ")} can go where the posterior cannot.`;
    }
    if (counts.length === 1) return `All of the gap is ${names[counts[0]]}: ${amount(gap)} nats.`;
    const largest = counts.reduce((one, other) => (totals[other] > totals[one] ? other : one));
    const share = totals[largest] / gap;
    const much = share >= 0.9 ? "Almost all" : share >= 0.6 ? "Most" : "The largest part";
    return `${much} of the gap is ${names[largest]}: ${amount(totals[largest])} of ${amount(gap)} nats.`;
  }

  return { chance, amount, together, plain, stateLabel, actionLabel, statePhrase, actionPhrase, outcomePhrase, sentences, flipSentence, ledgerHeadline };
})();
