/* Run the blocks of one cluster after those of another, each thread of them in its own. */
template <typename Shared>
static void run(const Call &call, long long cluster, void (*block)(const Call &, Shared &)) {
  std::vector<std::vector<char>> memory(CLUSTER, std::vector<char>(sizeof(Shared) + 64, 0x55));
  std::vector<char *> shared;
  for (auto &bytes : memory)
    shared.push_back(bytes.data() + (64 - (unsigned long)bytes.data() % 64) % 64);
  std::barrier<> all(CLUSTER * THREADS);
  std::vector<std::thread> threads;
  std::vector<std::barrier<> *> blocks;
  for (int rank = 0; rank < CLUSTER; rank++) blocks.push_back(new std::barrier<>(THREADS));
  for (int i = 0; i < CLUSTER * THREADS; i++)
    threads.emplace_back([&, i] {
      const int rank = i / THREADS;
      here = {i % THREADS, rank, cluster, shared.data(), blocks[rank], &all};
      block(call, *(Shared *)shared[rank]);
    });
  for (auto &thread : threads) thread.join();
  for (auto *barrier : blocks) delete barrier;
}

extern "C" void run_forward(const Call *call, long long blocks) {
  for (long long i = 0; i < blocks / CLUSTER; i++) run<ForwardShared>(*call, i, forward_block);
}

extern "C" void run_backward(const Call *call, long long blocks) {
  for (long long i = 0; i < blocks / CLUSTER; i++) run<BackwardShared>(*call, i, backward_block);
}
