/* What depends on parameters only: computed before the loops, for all steps and rows. */
static void compute_given(const Call *c) {
  const long H = c->units;
  for (long j = 0; j < H && THETAS; j += LANES) {
    const long n = fewer(LANES, H - j);
    vec own[AT_LEAST_1(OWN)], theta[AT_LEAST_1(THETAS)];
    for (int o = 0; o < OWN; o++) own[o] = load(c->own[o] + j, n);
    point_given(own, theta);
    for (int p = 0; p < THETAS; p++) store(c->theta + p * H + j, n, theta[p]);
  }
}

/* The sums of all threads into those of the first, and from there to the parameters. */
static void finish_sums(const Call *c) {
  const long H = c->units, all = SUMS * H;
  for (long thread = 1; thread < c->threads; thread++)
    for (long i = 0; i < all; i++) c->sums[i] += c->sums[thread * all + i];
  const real *sums = c->sums + (GATES + DIFFERING) * H;
  for (long j = 0; j < H && OWN; j += LANES) {
    const long n = fewer(LANES, H - j);
    vec own[AT_LEAST_1(OWN)], d_theta[AT_LEAST_1(THETAS)], d_own[AT_LEAST_1(OWN)];
    for (int o = 0; o < OWN; o++) own[o] = load(c->own[o] + j, n);
    for (int p = 0; p < THETAS; p++) d_theta[p] = load(sums + p * H + j, n);
    point_back_to_own(own, d_theta, d_own);
    for (int o = 0; o < OWN; o++)
      if (c->d_own[o]) store(c->d_own[o] + j, n, d_own[o]);
  }
}
