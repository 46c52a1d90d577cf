// SPDX-License-Identifier: MIT OR Apache-2.0

// What an inference engine does with the memory calls of Paddle-Lite's FPGA back end, done with that
// back end itself: built with the unmodified sources of a checkout, any version from 2.0 to 2.12-rc.
//
// Every check is a process of its own, because an open device lives as long as its process.

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "lite/backends/fpga/KD/llapi/bias_scale.h"
#include "lite/backends/fpga/KD/llapi/zynqmp_api.h"
#include "process.h"

using namespace paddle::zynqmp;

const size_t kPage = 4096;
const size_t kBlock = 16384;

uint64_t blocks(size_t bytes) { return (bytes + kBlock - 1) / kBlock; }

// The oldest versions throw where later ones return what ioctl() returned.
template <class Call>
int outcome(Call call) {
    try {
        return call();
    } catch (int thrown) {
        return thrown;
    }
}

int flush(void *at, size_t size) {
    return outcome([=] { return fpga_flush(at, size); });
}

int invalidate(void *at, size_t size) {
    return outcome([=] { return fpga_invalidate(at, size); });
}

// The description of the device; the name of its type differs between versions.
template <class Info>
int describe(int (*get)(const Info &), uint32_t words[10]) {
    static_assert(sizeof(Info) == 40, "the structure has 40 bytes in all versions");
    Info info;
    memset(&info, 0xff, sizeof(info));
    int result = outcome([&] { return get(info); });
    memcpy(words, &info, sizeof(info));
    return result;
}

// A tensor, with contents that tell it from others.
struct Tensor {
    uint32_t id;
    size_t size;
    uint8_t *data;

    Tensor(uint32_t id, size_t size) : id(id), size(size) {
        data = static_cast<uint8_t *>(fpga_malloc(size));
        must(data != MAP_FAILED, "fpga_malloc of " + std::to_string(size));
        must(reinterpret_cast<uintptr_t>(data) % kPage == 0, "a tensor starts a page");
    }

    uint8_t byte(size_t at) const { return (id * 2654435761u + at * 40503u) >> 11; }

    void check_zero() const {
        must(std::all_of(data, data + size, [](uint8_t byte) { return byte == 0; }), "zeroes");
    }

    void fill() {
        for (size_t at = 0; at < size; ++at) data[at] = byte(at);
    }

    void check() const {
        size_t at = 0;
        while (at < size && data[at] == byte(at)) ++at;
        must(at == size, "byte " + std::to_string(at) + " of tensor " + std::to_string(id));
    }

    void sync() {
        must(flush(data, size) == 0, "flush");
        must(invalidate(data, size) == 0, "invalidate");
    }

    void free() { fpga_free(data); }
};

void opened() { must(open_device() >= 0, "open_device"); }

void describes_itself() {
    opened();
    must(open_device() == open_device(), "one file per process");
    uint32_t info[10];
    must(describe(get_device_info, info) == 0, "get_device_info");
    printf("    filter_cap %u version %u device_type %u column %u pool_cap %u\n", info[0], info[1],
           info[2] & 0xffff, info[3], info[4]);
    for (int field : {0, 1, 3, 4}) must(info[field] != 0 && info[field] != ~0u, "filled in");
    must((info[2] & 0xffff) != 0 && (info[2] & 0xffff) != 0xffff, "filled in");
}

void one_buffer_per_tensor() {
    opened();
    uint64_t before = blocks_used();
    for (size_t size : {1, 272, 1040, 16384, 16385, 57360, 1605648, 9437200, 23658512}) {
        Tensor tensor(7, size);
        must(blocks_used() == before + blocks(size), "blocks of " + std::to_string(size));
        must(fpga_get_memory_size(tensor.data) == size, "fpga_get_memory_size");
        tensor.check_zero();
        tensor.fill();
        tensor.sync();
        tensor.check();
        tensor.free();
        must(blocks_used() == before, "all of " + std::to_string(size) + " comes back");
    }
}

void many_tensors_in_any_order() {
    opened();
    uint64_t before = blocks_used(), held = 0;
    std::mt19937 random(2026);
    std::vector<Tensor> live;
    for (uint32_t id = 0; id < 3000; ++id) {
        if (!live.empty() && (live.size() == 900 || random() % 3 == 0)) {
            size_t victim = random() % live.size();
            live[victim].check();
            held -= blocks(live[victim].size);
            live[victim].free();
            live.erase(live.begin() + victim);
        }
        Tensor tensor(id, 16 + random() % (random() % 8 == 0 ? 200000 : 8192));
        held += blocks(tensor.size);
        tensor.check_zero();
        tensor.fill();
        must(flush(tensor.data, tensor.size) == 0, "flush");
        live.push_back(tensor);
    }
    must(blocks_used() == before + held, "blocks of " + std::to_string(live.size()) + " tensors");
    must(fpga_diagnose_memory(0) > 0, "fpga_diagnose_memory");
    for (Tensor &tensor : live) tensor.sync(), tensor.check(), tensor.free();
    must(blocks_used() == before, "all comes back");
    must(fpga_diagnose_memory(0) == 0, "fpga_diagnose_memory at the end");
}

void invalidate_keeps_what_was_written() {
    opened();
    Tensor from(1, 100000), to(2, 100000);
    from.fill();
    for (int round = 0; round < 50; ++round) {
        must(outcome([&] { return invalidate_cache(from.data, 100000); }) == 0, "invalidate_cache");
        from.check();
    }
    fpga_copy(to.data, from.data, 100000);
    must(outcome([&] { return flush_cache(to.data, 100000); }) == 0, "flush_cache");
    to.id = from.id;
    to.check();
}

void formats_scale_and_bias() {
    opened();
    const int num = 512;
    float *array = static_cast<float *>(fpga_malloc(2 * num * sizeof(float)));
    for (int at = 0; at < 2 * num; ++at) array[at] = at;
    bias_scale::format_bias_scale_array(&array, num, num);
    must(invalidate(array, 2 * num * sizeof(float)) == 0, "invalidate");
    for (int at = 0; at < 2 * num; ++at) {
        int half = at / 4 % 2, index = at / 8 * 4 + at % 4;
        must(array[at] == half * num + index, "element " + std::to_string(at));
    }
    fpga_free(array);
    must(fpga_diagnose_memory(0) == 0, "the temporaries are freed");
}

void ranges_past_the_end() {
    opened();
    for (size_t tail : {2, 14, 28, 44, 60}) {
        Tensor tensor(3, 4084);
        tensor.fill();
        must(flush(tensor.data + 4080, tail) == 0, "flush past the end");
        must(invalidate(tensor.data + 4080, tail) == 0, "invalidate past the end");
        tensor.check();
        // Two tensors are often neighbours, and the range of one runs into the other.
        Tensor other(4, 4096);
        other.fill();
        uint8_t *low = std::min(tensor.data, other.data);
        must(flush(low + 4000, 4096) == 0, "flush across two tensors");
        other.check();
        tensor.free();
        other.free();
    }
}

void refusals_leave_no_errno_that_kills() {
    opened();
    Tensor tensor(5, 1000);
    static char foreign[64];
    ConvArgs conv;
    memset(static_cast<void *>(&conv), 0, sizeof(conv));
    std::vector<std::function<int()>> calls = {
        [&] { return fpga_flush(foreign, 64); },
        [&] { return fpga_invalidate(foreign, 64); },
        [&] { return fpga_flush(nullptr, 64); },
        [&] { return fpga_flush(tensor.data, ~0ul); },
        [&] { return flush_cache(tensor.data, -64); },
        [&] { return invalidate_cache(tensor.data, -1); },
        [&] { return fpga_invalidate(tensor.data, 1ul << 40); },
        [&] { return compute_fpga_conv_basic(conv); },
        [&] { return reset_device(), -1; },
    };
    for (size_t at = 0; at < calls.size(); ++at) {
        errno = 0;
        std::string name = "call " + std::to_string(at);
        must(outcome(calls[at]) == -1, name + " fails");
        must(errno != 0 && errno != EINVAL && errno != ENOMEM, name + ": " + strerror(errno));
        // Versions 2.3 to 2.7 exit here if errno is one of those two.
        Tensor next(6, 300);
        next.fill();
        next.sync();
        next.free();
    }
}

// How a version tells that there is no memory: by what it returns, throws, or exits with. All that
// it allocated before stays.
void until_nothing_is_left(size_t size, uint64_t *count) {
    opened();
    for (errno = 0;; ++*count) {
        void *memory = MAP_FAILED;
        try {
            memory = fpga_malloc(size);
        } catch (int) {
        }
        if (memory == MAP_FAILED) {
            must(errno == ENOMEM, std::string("no memory is ENOMEM, not ") + strerror(errno));
            return;
        }
        static_cast<char *>(memory)[size - 1] = 1;
    }
}

bool out_of_memory(int status) { return exited(status, 0) || exited(status, 255); }

void shares_with_forked_workers() {
    opened();
    uint64_t before = blocks_used();
    std::vector<Tensor> tensors;
    for (uint32_t id = 0; id < 12; ++id) tensors.emplace_back(id, 70000), tensors.back().fill();
    uint64_t held = blocks_used();
    must(held == before + 12 * blocks(70000), "blocks of the parent");
    std::vector<pid_t> workers;
    for (int worker = 0; worker < 4; ++worker) {
        pid_t pid = fork();
        must(pid >= 0, "fork");
        if (pid != 0) {
            workers.push_back(pid);
            continue;
        }
        for (int at = 3 * worker; at < 3 * worker + 3; ++at) {
            tensors[at].check();
            tensors[at].id += 100;
            tensors[at].fill();
            tensors[at].sync();
        }
        Tensor own(50 + worker, 40000);
        own.check_zero();
        own.fill();
        own.sync();
        // One frees what it inherited, one closes the device, all leave something behind.
        if (worker == 0)
            for (Tensor &tensor : tensors) tensor.free();
        if (worker == 1) close_device();
        own.check();
        exit(0);
    }
    for (pid_t pid : workers) {
        int status = 0;
        must(waitpid(pid, &status, 0) == pid && exited(status, 0), "a worker ends well");
    }
    must(blocks_used() == held, "workers take none of the parent's blocks, and leave none");
    for (Tensor &tensor : tensors) tensor.id += 100, tensor.check(), tensor.sync();
    Tensor next(200, 1000);
    next.check_zero();
    for (Tensor &tensor : tensors) tensor.free();
    next.free();
    must(blocks_used() == before, "all comes back");
}

void leaves_everything(bool killed) {
    opened();
    for (uint32_t id = 0; id < 200; ++id) {
        Tensor tensor(id, 5000 + 100 * id);
        tensor.fill();
        tensor.sync();
    }
    if (killed) kill(getpid(), SIGKILL);
}

void threads_share_the_device() {
    opened();
    // Before version 2.9 the list of tensors has no lock of its own.
    std::mutex lock;
    std::vector<std::thread> threads;
    for (uint32_t thread = 0; thread < 4; ++thread)
        threads.emplace_back([&lock, thread] {
            for (uint32_t round = 0; round < 200; ++round) {
                std::unique_lock<std::mutex> locked(lock);
                Tensor tensor(1000 * thread + round, 100 + 97 * round);
                locked.unlock();
                tensor.check_zero();
                tensor.fill();
                tensor.sync();
                tensor.check();
                locked.lock();
                tensor.free();
            }
        });
    for (std::thread &thread : threads) thread.join();
}

// Does what a trace of an inference engine says.
void replays(const std::string &path) {
    opened();
    uint64_t before = blocks_used();
    std::ifstream file(path);
    must(file.good(), path);
    std::map<uint32_t, Tensor> live;
    std::string line;
    uint64_t nr[4] = {};
    while (std::getline(file, line)) {
        char what;
        unsigned id;
        size_t first = 0, second = 0;
        if (sscanf(line.c_str(), "%c %u %zu %zu", &what, &id, &first, &second) < 2) continue;
        if (what == 'A') {
            Tensor tensor(id, first);
            tensor.check_zero();
            tensor.fill();
            live.emplace(id, tensor);
            ++nr[0];
            continue;
        }
        Tensor &tensor = live.at(id);
        if (what == 'F') tensor.check(), tensor.free(), live.erase(id), ++nr[1];
        if (what == 'C') must(flush(tensor.data + first, second) == 0, line), ++nr[2];
        if (what == 'I') must(invalidate(tensor.data + first, second) == 0, line), ++nr[3];
    }
    printf("    %lu allocations, %lu frees, %lu flushes, %lu invalidates\n", nr[0], nr[1], nr[2], nr[3]);
    must(nr[0] > 0 && live.empty(), "the trace frees all");
    must(blocks_used() == before, "no block is lost");
}

int main(int argc, char **argv) {
    Checks checks;
    checks.run("the device describes itself", describes_itself);
    checks.run("a tensor is a buffer of zeroes", one_buffer_per_tensor);
    checks.run("many tensors in any order", many_tensors_in_any_order);
    checks.run("an invalidate keeps what was written", invalidate_keeps_what_was_written);
    checks.run("scale and bias are formatted", formats_scale_and_bias);
    checks.run("ranges may run past the end", ranges_past_the_end);
    checks.run("a refusal leaves no errno that kills", refusals_leave_no_errno_that_kills);
    uint64_t *count = shared<uint64_t>();
    for (int round = 0; round < 2; ++round) {
        *count = 0;
        checks.expect("memory runs out", [=] { until_nothing_is_left(16 << 20, count); }, out_of_memory);
        checks.run("all of it was had", [=] { must(*count == stat("blocks") / 1024, "the region"); });
    }
    for (size_t size : {size_t(1) << 33, size_t(1) << 40, size_t(1) << 46}) {
        *count = 0;
        checks.expect("what no region holds", [=] { until_nothing_is_left(size, count); }, out_of_memory);
        checks.run("none of it was had", [=] { must(*count == 0, std::to_string(*count)); });
    }
    checks.run("forked workers share tensors", shares_with_forked_workers);
    checks.run("an exit frees everything", [] { leaves_everything(false); });
    checks.expect(
        "a kill frees everything", [] { leaves_everything(true); },
        [](int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; });
    checks.run("threads share the device", threads_share_the_device);
    for (int at = 1; at < argc; ++at) {
        std::string trace = argv[at];
        checks.run(("replay of " + trace).c_str(), [=] { replays(trace); });
    }
    printf("%d checks passed, %d failed\n", checks.passed, checks.failed);
    return checks.failed == 0 ? 0 : 1;
}
