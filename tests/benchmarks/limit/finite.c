/* Exact inference with a horizon, one setting: all Q, V, the evidence and its gradient by the reward.

   Tables are (outcome, action, lane) with lanes of P states, P a multiple of 8 and at least S; a state that pads has its
   own successor and reward 0. In nats inside, in reward units outside. `flow` (T, K, A, P) is scratch and afterwards
   holds q(a, k | s); `visits` (2, P) is scratch. */
#include "lanes.h"

/* (S, A, K) rewards to nats in lanes. */
static void spread(int S, int P, In reward, double tau, Out gain) {
    for (int k = 0; k < K; k++)
        for (int a = 0; a < A; a++)
            for (int s = 0; s < P; s++) gain[(k * A + a) * P + s] = s < S ? reward[(s * A + a) * K + k] / tau : 0.0;
}

INLINE double outcome_value(int k, int a, int P, int s, Index successor, In gain, In ahead) {
    return gain[(k * A + a) * P + s] + ahead[successor[(k * A + a) * P + s]];
}

/* Q(s, a) in nats and the shares of its outcomes. */
INLINE Row event(int optimistic, int a, int P, int s, Index successor, In p, In gain, In ahead) {
    double y0 = outcome_value(0, a, P, s, successor, gain, ahead), y1 = outcome_value(1, a, P, s, successor, gain, ahead);
    double y2 = outcome_value(2, a, P, s, successor, gain, ahead);
    if (optimistic) return soft3(y0, y1, y2);
    double p0 = p[a * P + s], p1 = p[(A + a) * P + s], p2 = p[(2 * A + a) * P + s];
    return (Row){p0 * y0 + p1 * y1 + p2 * y2, p0, p1, p2};
}

INLINE void keep(int a, int P, int s, Row row, double chosen, Out flow) {
    flow[a * P + s] = chosen * row.f0;
    flow[(A + a) * P + s] = chosen * row.f1;
    flow[(2 * A + a) * P + s] = chosen * row.f2;
}

/* One step back in the log domain: exact for each row by itself, whatever the temperature. */
INLINE void step(int optimistic, int P, double tau, Index successor, In p, In gain, In log_prior, In ahead, Out now, Out q,
                 Out v, Out flow) {
    EACH for (int s = 0; s < P; s++) {
        Row q0 = event(optimistic, 0, P, s, successor, p, gain, ahead), q1 = event(optimistic, 1, P, s, successor, p, gain, ahead);
        Row q2 = event(optimistic, 2, P, s, successor, p, gain, ahead), q3 = event(optimistic, 3, P, s, successor, p, gain, ahead);
        Choice chosen = soft4(q0.x + log_prior[s], q1.x + log_prior[P + s], q2.x + log_prior[2 * P + s],
                              q3.x + log_prior[3 * P + s]);
        q[s] = tau * q0.x;
        q[P + s] = tau * q1.x;
        q[2 * P + s] = tau * q2.x;
        q[3 * P + s] = tau * q3.x;
        now[s] = chosen.x;
        v[s] = tau * chosen.x;
        keep(0, P, s, q0, chosen.f0, flow);
        keep(1, P, s, q1, chosen.f1, flow);
        keep(2, P, s, q2, chosen.f2, flow);
        keep(3, P, s, q3, chosen.f3, flow);
    }
}

INLINE Row linear_event(int a, int P, int s, Index successor, In weight, In ahead) {
    double f0 = weight[a * P + s] * ahead[successor[a * P + s]];
    double f1 = weight[(A + a) * P + s] * ahead[successor[(A + a) * P + s]];
    double f2 = weight[(2 * A + a) * P + s] * ahead[successor[(2 * A + a) * P + s]];
    return (Row){f0 + f1 + f2, f0, f1, f2};
}

/* One step back with messages themselves instead of their logs: right only while they fit a double. */
INLINE double linear_step(int P, double tau, Index successor, In weight, In log_prior, In ahead, Out now, double shift,
                          Out q, Out v, Out flow) {
    double most = 0.0;
    _Pragma("omp simd reduction(max : most)") for (int s = 0; s < P; s++) {
        Row q0 = linear_event(0, P, s, successor, weight, ahead), q1 = linear_event(1, P, s, successor, weight, ahead);
        Row q2 = linear_event(2, P, s, successor, weight, ahead), q3 = linear_event(3, P, s, successor, weight, ahead);
        double sum = (q0.x + q1.x) + (q2.x + q3.x), inverse = 1.0 / sum;
        q[s] = tau * (vlog(q0.x) - log_prior[s] + shift);
        q[P + s] = tau * (vlog(q1.x) - log_prior[P + s] + shift);
        q[2 * P + s] = tau * (vlog(q2.x) - log_prior[2 * P + s] + shift);
        q[3 * P + s] = tau * (vlog(q3.x) - log_prior[3 * P + s] + shift);
        now[s] = sum;
        v[s] = tau * (vlog(sum) + shift);
        keep(0, P, s, q0, inverse, flow);
        keep(1, P, s, q1, inverse, flow);
        keep(2, P, s, q2, inverse, flow);
        keep(3, P, s, q3, inverse, flow);
        most = larger(most, sum);
    }
    double inverse = 1.0 / most;
    EACH for (int s = 0; s < P; s++) now[s] *= inverse;
    return log(most);
}

/* Forwards: what flows through every outcome, summed over time; the gradient is that over tau. */
static void push(int T, int P, Index successor, In flow, Out visits, Out total) {
    memset(total, 0, sizeof(double) * A * K * P);
    for (int t = 0; t < T; t++) {
        double *here = visits + (t & 1) * P, *next = visits + (~t & 1) * P, sent[A * K * P], other[P], third[P];
        const double *f = flow + (size_t)t * A * K * P;
        memset(next, 0, sizeof(double) * P);
        memset(other, 0, sizeof(double) * P);
        memset(third, 0, sizeof(double) * P);
        for (int j = 0; j < A * K; j++) EACH for (int s = 0; s < P; s++) {
            sent[j * P + s] = here[s] * f[j * P + s];
            total[j * P + s] += sent[j * P + s];
        }
        for (int j = 0; j < A * P; j++) { /* a table for each outcome, so that none waits for another's store */
            next[successor[j]] += sent[j];
            other[successor[A * P + j]] += sent[A * P + j];
            third[successor[2 * A * P + j]] += sent[2 * A * P + j];
        }
        EACH for (int s = 0; s < P; s++) next[s] += other[s] + third[s];
    }
}

static double start(int S, int optimistic, In initial, In now, Out visits) {
    double top = -INFINITY, sum = 0.0;
    for (int s = 0; s < S; s++)
        if (initial[s] > 0 && now[s] > top) top = now[s];
    for (int s = 0; s < S; s++) {
        visits[s] = initial[s] > 0 && optimistic ? initial[s] * exp(now[s] - top) : initial[s];
        sum += optimistic ? visits[s] : initial[s] * now[s];
    }
    if (!optimistic) return sum;
    for (int s = 0; s < S; s++) visits[s] /= sum;
    return top + log(sum);
}

/* beta 1 or 0 by `kind`: 1 free, 0 clamped, 2 free with linear messages. `p` holds p, its log or p rho by kind. */
double solve(int kind, int T, int S, int P, double tau, Index successor, In p, In log_prior, In initial, In reward, Out q,
             Out v, Out gradient, Out flow, Out visits) {
    double gain[A * K * P], messages[2 * P], shift = 0.0;
    spread(S, P, reward, tau, gain);
    if (kind == 1) EACH for (int j = 0; j < A * K * P; j++) gain[j] += p[j];
    if (kind == 2) EACH for (int j = 0; j < A * K * P; j++) gain[j] = p[j] * vexp(gain[j]);
    for (int s = 0; s < P; s++) messages[(T & 1) * P + s] = kind == 2 ? 1.0 : 0.0;
    for (int s = 0; s < P; s++) v[(size_t)T * P + s] = 0.0;
    memset(visits, 0, sizeof(double) * P);
    for (int t = T - 1; t >= 0; t--) {
        double *ahead = messages + (~t & 1) * P, *now = messages + (t & 1) * P;
        double *qt = q + (size_t)t * A * P, *vt = v + (size_t)t * P, *ft = flow + (size_t)t * A * K * P;
        if (kind == 1) step(1, P, tau, successor, p, gain, log_prior, ahead, now, qt, vt, ft);
        if (kind == 0) step(0, P, tau, successor, p, gain, log_prior, ahead, now, qt, vt, ft);
        if (kind == 2) shift += linear_step(P, tau, successor, gain, log_prior, ahead, now, shift, qt, vt, ft);
    }
    double nats[P];
    for (int s = 0; s < S; s++) nats[s] = v[s] / tau;
    double objective = start(S, kind > 0, initial, nats, visits), total[A * K * P];
    push(T, P, successor, flow, visits, total);
    for (int s = 0; s < S; s++)
        for (int a = 0; a < A; a++)
            for (int k = 0; k < K; k++) gradient[(s * A + a) * K + k] = total[(k * A + a) * P + s] / tau;
    return objective;
}
