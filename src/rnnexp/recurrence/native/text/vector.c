/* One SIMD register of numbers, and the functions that act on each of its lanes.

   The widest registers of this CPU are used, by the vector types of GCC and Clang. Every
   function gives NaN for NaN: clamping keeps it, and it is multiplied through to the end. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

/* How the registers are shared out in a product: sums, and a row of a panel of the right factor. One
   more holds a number of the left factor, and a CPU has 32 or 16: with a panel too wide for them the
   compiler would keep sums in memory, at half the speed. */
#if defined(__AVX512F__)
#define BYTES 64
#define ACCUMULATORS 24
#define PANEL 4
#elif defined(__AVX__)
#define BYTES 32
#define ACCUMULATORS 12
#define PANEL 2
#elif defined(__aarch64__)
#define BYTES 16
#define ACCUMULATORS 24
#define PANEL 4
#else
#define BYTES 16
#define ACCUMULATORS 12
#define PANEL 2
#endif

#define CACHE_LINE 64 /* bytes; where it is more, the same line is asked for twice */

#ifdef REAL_IS_DOUBLE
typedef double real;
typedef int64_t whole;
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer */
#define EXPONENT_BITS 52
#define EXPONENT_ZERO 1023
#define EXP_BOUND 708.0
#define TANH_BOUND 20.0 /* beyond it tanh is 1 to the last bit */
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define EXP_TERMS 13
#define LANE_FN(name) name
#define X86(name) name##_pd
#else
typedef float real;
typedef int32_t whole;
#define ROUNDER 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer */
#define EXPONENT_BITS 23
#define EXPONENT_ZERO 127
#define EXP_BOUND 87.0f
#define TANH_BOUND 10.0f /* beyond it tanh is 1 to the last bit */
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define EXP_TERMS 7
#define LANE_FN(name) name##f
#define X86(name) name##_ps
#endif
#define LANES ((long)(BYTES / sizeof(real)))
#define INLINE static inline __attribute__((always_inline))
#define CONSTANT static const

typedef real vec __attribute__((vector_size(BYTES)));
typedef whole ivec __attribute__((vector_size(BYTES)));
/* The same where memory is only aligned to one number, and may be seen as other types too. */
typedef real vec_in_memory __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

INLINE vec splat(real x) { return x - (vec){0}; }

/* Load or store n lanes; the last panel of a row may hold fewer than LANES. */
INLINE vec load(const real *p, long n) {
  if (n == LANES) return *(const vec_in_memory *)p;
  vec v = {0};
  memcpy(&v, p, (size_t)n * sizeof(real));
  return v;
}

INLINE void store(real *p, long n, vec v) {
  if (n == LANES)
    *(vec_in_memory *)p = v;
  else
    memcpy(p, &v, (size_t)n * sizeof(real));
}

INLINE vec pick(ivec mask, vec yes, vec no) {
  return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

/* A condition is 1.0 or 0.0, as it is where torch multiplies by a mask. */
INLINE vec as_number(ivec mask) { return (vec)(mask & (ivec)splat(1)); }
INLINE vec op_where(vec c, vec yes, vec no) { return pick(c != 0, yes, no); }
INLINE vec op_lt(vec a, vec b) { return as_number(a < b); }
INLINE vec op_le(vec a, vec b) { return as_number(a <= b); }
INLINE vec op_eq(vec a, vec b) { return as_number(a == b); }
INLINE vec op_max(vec a, vec b) { return pick((a > b) | (a != a), a, b); }
INLINE vec op_min(vec a, vec b) { return pick((a < b) | (a != a), a, b); }
INLINE vec op_relu(vec a) { return pick(a < 0, (vec){0}, a); }
INLINE vec op_sign(vec a) { return as_number(a > 0) - as_number(a < 0); }
INLINE vec op_abs(vec a) { return pick(a < 0, -a, a + 0); }

/* Between -bound and bound; NaN fails both comparisons and stays. The instructions return their
   second operand where one is NaN. */
INLINE vec clamped(vec x, real bound) {
#if defined(__AVX512F__)
  return (vec)X86(_mm512_min)(splat(bound), X86(_mm512_max)(splat(-bound), x));
#elif defined(__AVX__)
  return (vec)X86(_mm256_min)(splat(bound), X86(_mm256_max)(splat(-bound), x));
#else
  x = pick(x < -bound, splat(-bound), x);
  return pick(x > bound, splat(bound), x);
#endif
}

/* e^x = 2^n e^r with |r| <= ln 2 / 2. Returns e^r - 1 by its Taylor series, whose next term is
   below the last bit, and 2^n; both parts are exact enough to give e^x - 1 near zero as well. */
INLINE vec exp_parts(vec x, vec *power) {
  vec n = x * (real)1.44269504088896340736 + ROUNDER;
  *power = (vec)(((ivec)n + EXPONENT_ZERO) << EXPONENT_BITS);
  n -= ROUNDER;
  vec r = (x - n * (real)LN2_HIGH) - n * (real)LN2_LOW;
#ifdef REAL_IS_DOUBLE
  vec p = splat(1.0 / 6227020800.0);
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
#else
  vec p = splat(1.0f / 5040.0f);
#endif
  p = p * r + (real)(1.0 / 720.0);
  p = p * r + (real)(1.0 / 120.0);
  p = p * r + (real)(1.0 / 24.0);
  p = p * r + (real)(1.0 / 6.0);
  p = p * r + (real)0.5;
  return p * (r * r) + r;
}

INLINE vec op_tanh(vec x) {
  vec power, m = exp_parts(2 * clamped(x, TANH_BOUND), &power);
  vec e = m * power + (power - 1); /* e^2x - 1 */
  return e / (e + 2);
}

INLINE vec op_sigmoid(vec x) {
  vec power, m = exp_parts(-clamped(x, EXP_BOUND), &power);
  return 1 / ((m * power + power) + 1);
}

INLINE vec op_exp(vec x) {
  /* The square of e^(x/2): it overflows and underflows where e^x does. */
  vec power, m = exp_parts(clamped(x / 2, EXP_BOUND), &power);
  vec root = m * power + power;
  return root * root;
}

INLINE vec op_expm1(vec x) {
  vec power, m = exp_parts(clamped(x, EXP_BOUND), &power);
  return pick(x > EXP_BOUND, op_exp(x), m * power + (power - 1));
}

INLINE vec op_sqrt(vec x) {
  for (int i = 0; i < LANES; i++) x[i] = LANE_FN(sqrt)(x[i]);
  return x;
}

/* Rare in a cell: lane by lane, by the C library. */
#define BY_LANE(name)                                           \
  static vec op_##name(vec x) {                                 \
    for (int i = 0; i < LANES; i++) x[i] = LANE_FN(name)(x[i]); \
    return x;                                                   \
  }
BY_LANE(log)
BY_LANE(log1p)
BY_LANE(sin)
BY_LANE(cos)
BY_LANE(erf)

static vec op_pow(vec x, vec y) {
  for (int i = 0; i < LANES; i++) x[i] = LANE_FN(pow)(x[i], y[i]);
  return x;
}

/* Of the sign of y, as in torch. */
static vec op_remainder(vec x, vec y) {
  for (int i = 0; i < LANES; i++) {
    const real rest = LANE_FN(fmod)(x[i], y[i]);
    x[i] = rest != 0 && (rest < 0) != (y[i] < 0) ? rest + y[i] : rest;
  }
  return x;
}
