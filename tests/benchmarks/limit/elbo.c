/* The exact ELBO of a guide and its gradient by policy logits (T, A, P) and dynamics logits (T, K, A, P), in nats.

   Lanes as in finite.c: tables (outcome, action, lane), P lanes of which S are states. Logits tilt the prior and the true
   dynamics, so that 0 is the model itself. `free` 0 keeps the true dynamics. `flow` (T, K, A, P) is scratch. */
#include "lanes.h"

typedef struct { double w, l0, l1, l2, f0, f1, f2; } Event3;

/* E over three tilted outcomes of x - log q/p, the derivatives by their logits (for one visit), and their probabilities. */
INLINE Event3 tilted3(double t0, double t1, double t2, double p0, double p1, double p2, double x0, double x1, double x2) {
    Row q = soft3(t0 + p0, t1 + p1, t2 + p2);
    x0 -= t0 - q.x;
    x1 -= t1 - q.x;
    x2 -= t2 - q.x;
    double w = q.f0 * x0 + q.f1 * x1 + q.f2 * x2;
    return (Event3){w, q.f0 * (x0 - w), q.f1 * (x1 - w), q.f2 * (x2 - w), q.f0, q.f1, q.f2};
}

INLINE Event3 event(int free, int a, int P, int s, Index successor, In p, In log_p, In gain, In logits, In ahead) {
    const int i = a * P + s, j = (A + a) * P + s, k = (2 * A + a) * P + s;
    double x0 = gain[i] + ahead[successor[i]], x1 = gain[j] + ahead[successor[j]], x2 = gain[k] + ahead[successor[k]];
    if (free) return tilted3(logits[i], logits[j], logits[k], log_p[i], log_p[j], log_p[k], x0, x1, x2);
    return (Event3){p[i] * x0 + p[j] * x1 + p[k] * x2, 0.0, 0.0, 0.0, p[i], p[j], p[k]};
}

INLINE void keep(int free, int a, int P, int s, Event3 q, double chosen, Out flow, Out gradient) {
    flow[a * P + s] = chosen * q.f0;
    flow[(A + a) * P + s] = chosen * q.f1;
    flow[(2 * A + a) * P + s] = chosen * q.f2;
    if (!free) return;
    gradient[a * P + s] = chosen * q.l0;
    gradient[(A + a) * P + s] = chosen * q.l1;
    gradient[(2 * A + a) * P + s] = chosen * q.l2;
}

INLINE void step(int free, int P, Index successor, In p, In log_p, In gain, In log_prior, In policy, In logits, In ahead,
                 Out now, Out flow, Out by_policy, Out by_logits) {
    EACH for (int s = 0; s < P; s++) {
        Event3 q0 = event(free, 0, P, s, successor, p, log_p, gain, logits, ahead);
        Event3 q1 = event(free, 1, P, s, successor, p, log_p, gain, logits, ahead);
        Event3 q2 = event(free, 2, P, s, successor, p, log_p, gain, logits, ahead);
        Event3 q3 = event(free, 3, P, s, successor, p, log_p, gain, logits, ahead);
        double t0 = policy[s], t1 = policy[P + s], t2 = policy[2 * P + s], t3 = policy[3 * P + s];
        Choice pi = soft4(t0 + log_prior[s], t1 + log_prior[P + s], t2 + log_prior[2 * P + s], t3 + log_prior[3 * P + s]);
        double x0 = q0.w - (t0 - pi.x), x1 = q1.w - (t1 - pi.x), x2 = q2.w - (t2 - pi.x), x3 = q3.w - (t3 - pi.x);
        double w = pi.f0 * x0 + pi.f1 * x1 + pi.f2 * x2 + pi.f3 * x3;
        now[s] = w;
        by_policy[s] = pi.f0 * (x0 - w);
        by_policy[P + s] = pi.f1 * (x1 - w);
        by_policy[2 * P + s] = pi.f2 * (x2 - w);
        by_policy[3 * P + s] = pi.f3 * (x3 - w);
        keep(free, 0, P, s, q0, pi.f0, flow, by_logits);
        keep(free, 1, P, s, q1, pi.f1, flow, by_logits);
        keep(free, 2, P, s, q2, pi.f2, flow, by_logits);
        keep(free, 3, P, s, q3, pi.f3, flow, by_logits);
    }
}

double elbo(int free, int T, int S, int P, Index successor, In p, In log_p, In gain, In log_prior, In initial, In policy,
            In logits, Out flow, Out by_policy, Out by_logits) {
    double messages[2 * P], visits[2 * P], other[P], third[P], found = 0.0;
    memset(messages, 0, sizeof messages);
    memset(visits, 0, sizeof visits);
    for (int t = T - 1; t >= 0; t--) {
        const double *ahead = messages + (~t & 1) * P;
        const size_t small = (size_t)t * A * P, large = small * K;
        double *now = messages + (t & 1) * P;
        if (free)
            step(1, P, successor, p, log_p, gain, log_prior, policy + small, logits + large, ahead, now, flow + large,
                 by_policy + small, by_logits + large);
        else
            step(0, P, successor, p, log_p, gain, log_prior, policy + small, logits, ahead, now, flow + large,
                 by_policy + small, by_logits);
    }
    for (int s = 0; s < S; s++) {
        visits[s] = initial[s];
        found += initial[s] * messages[s];
    }
    for (int t = 0; t < T; t++) {
        const size_t small = (size_t)t * A * P, large = small * K;
        double *here = visits + (t & 1) * P, *next = visits + (~t & 1) * P, sent[A * K * P];
        memset(next, 0, sizeof(double) * P);
        memset(other, 0, sizeof(double) * P);
        memset(third, 0, sizeof(double) * P);
        for (int a = 0; a < A; a++) EACH for (int s = 0; s < P; s++) by_policy[small + a * P + s] *= here[s];
        for (int j = 0; j < A * K; j++) {
            EACH for (int s = 0; s < P; s++) sent[j * P + s] = here[s] * flow[large + j * P + s];
            if (free) EACH for (int s = 0; s < P; s++) by_logits[large + j * P + s] *= here[s];
        }
        for (int j = 0; j < A * P; j++) {
            next[successor[j]] += sent[j];
            other[successor[A * P + j]] += sent[A * P + j];
            third[successor[2 * A * P + j]] += sent[2 * A * P + j];
        }
        EACH for (int s = 0; s < P; s++) next[s] += other[s] + third[s];
    }
    return found;
}
