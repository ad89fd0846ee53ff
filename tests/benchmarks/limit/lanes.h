/* exp and log of double precision that a compiler can keep in vector registers: no calls, no branches, no tables. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define A 4 /* actions */
#define K 3 /* outcomes of a state and an action */
#define LOWEST (-700.0) /* exp of less counts as nothing */
#define EACH _Pragma("GCC ivdep")
#define INLINE static inline __attribute__((always_inline))

typedef const double *restrict In;
typedef double *restrict Out;
typedef const int32_t *restrict Index;
/* Fields and not arrays: loops over arrays are unrolled too late for the loop around them to be vectorised. */
typedef struct { double x, f0, f1, f2; } Row;
typedef struct { double x, f0, f1, f2, f3; } Choice;

INLINE double larger(double x, double y) { return x > y ? x : y; }
INLINE double smaller(double x, double y) { return x < y ? x : y; }

/* e^x for LOWEST <= x <= 700: 2^n times a polynomial in the rest. */
INLINE double vexp(double x) {
    double n = rint(x * 1.4426950408889634);
    double r = x - n * 0.6931471805599453;
    double r2 = r * r, r4 = r2 * r2;
    double low = (1.0 + r) + r2 * (0.5 + r * (1.0 / 6));
    double middle = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
    double high = (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
    double y = low + r4 * (middle + r4 * high);
    int64_t bits;
    memcpy(&bits, &y, 8);
    bits += (int64_t)(int32_t)n << 52;
    memcpy(&y, &bits, 8);
    return y;
}

/* log x for normal x > 0: exponent, and 2 atanh((m - 1) / (m + 1)) for m within a factor sqrt(2) of 1. */
INLINE double vlog(double x) {
    int64_t bits;
    memcpy(&bits, &x, 8);
    int64_t shifted = bits - 0x3fe6a09e667f3bcd;
    int32_t n = (int32_t)(shifted >> 52);
    bits -= (int64_t)n << 52;
    double m;
    memcpy(&m, &bits, 8);
    double t = (m - 1.0) / (m + 1.0), t2 = t * t, t4 = t2 * t2;
    double even = (2.0 + t4 * (2.0 / 5 + t4 * (2.0 / 9 + t4 * (2.0 / 13 + t4 * (2.0 / 17)))));
    double odd = (2.0 / 3 + t4 * (2.0 / 7 + t4 * (2.0 / 11 + t4 * (2.0 / 15 + t4 * (2.0 / 19)))));
    return (double)n * 0.6931471805599453 + t * (even + t2 * odd);
}

/* log-sum-exp of three, and the shares of each. */
INLINE Row soft3(double y0, double y1, double y2) {
    double top = larger(larger(y0, y1), y2);
    double f0 = vexp(larger(y0 - top, LOWEST)), f1 = vexp(larger(y1 - top, LOWEST)), f2 = vexp(larger(y2 - top, LOWEST));
    double sum = f0 + f1 + f2, inverse = 1.0 / sum;
    return (Row){top + vlog(sum), f0 * inverse, f1 * inverse, f2 * inverse};
}

/* The same of four. */
INLINE Choice soft4(double y0, double y1, double y2, double y3) {
    double top = larger(larger(y0, y1), larger(y2, y3));
    double f0 = vexp(larger(y0 - top, LOWEST)), f1 = vexp(larger(y1 - top, LOWEST));
    double f2 = vexp(larger(y2 - top, LOWEST)), f3 = vexp(larger(y3 - top, LOWEST));
    double sum = (f0 + f1) + (f2 + f3), inverse = 1.0 / sum;
    return (Choice){top + vlog(sum), f0 * inverse, f1 * inverse, f2 * inverse, f3 * inverse};
}
