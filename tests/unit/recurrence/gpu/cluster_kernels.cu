/* Run the blocks of one cluster after those of another, each thread of them in its own; gives what
   they do wrong, null for nothing. */
template <typename Shared>
static const char *run(const Call &call, long long cluster, void (*block)(const Call &, Shared &)) {
  std::vector<std::vector<char>> memory(CLUSTER, std::vector<char>(sizeof(Shared) + 64, 0x55));
  std::vector<char *> shared;
  for (auto &bytes : memory)
    shared.push_back(bytes.data() + (64 - (unsigned long)bytes.data() % 64) % 64);
  std::barrier<> all(CLUSTER * THREADS);
  std::vector<std::thread> threads;
  std::vector<std::barrier<> *> blocks;
  for (int rank = 0; rank < CLUSTER; rank++) blocks.push_back(new std::barrier<>(THREADS));
  unclaimed = 0;
  wrong = nullptr;
  for (int i = 0; i < CLUSTER * THREADS; i++)
    threads.emplace_back([&, i] {
      const int rank = i / THREADS;
      here = {i % THREADS, rank, cluster, shared.data(), blocks[rank], &all};
      block(call, *(Shared *)shared[rank]);
    });
  for (auto &thread : threads) thread.join();
  for (auto *barrier : blocks) delete barrier;
  if (!wrong && unclaimed) wrong = "bytes came that no block has waited for";
  return wrong;
}

template <typename Shared>
static const char *run_all(const Call &call, long long blocks, void (*block)(const Call &, Shared &)) {
  const char *said = nullptr;
  for (long long i = 0; i < blocks / CLUSTER && !said; i++) said = run(call, i, block);
  return said;
}

extern "C" const char *run_forward(const Call *call, long long blocks) {
  return run_all<ForwardShared>(*call, blocks, forward_block);
}

extern "C" const char *run_backward(const Call *call, long long blocks) {
  return run_all<BackwardShared>(*call, blocks, backward_block);
}
