// SPDX-License-Identifier: MIT OR Apache-2.0

// Checks that run in a process each, and count the driver's blocks around it.

#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

// Exit status of a check that found something wrong. Clients exit with 255 by themselves.
const int kWrong = 3;

// Ends the process as one whose check has failed, unless `good`.
inline void must(bool good, const std::string &what) {
    if (!good) {
        printf("    wrong: %s\n", what.c_str());
        fflush(stdout);
        _exit(kWrong);
    }
}

// A line of the driver's counters.
inline uint64_t stat(const std::string &name) {
    const char *path = "/sys/kernel/debug/fpgamem/fpgamem0/stats";
    std::ifstream file(path);
    std::string word;
    uint64_t value;
    while (file >> word >> value)
        if (word == name) return value;
    must(false, std::string(path) + " has no " + name);
    return 0;
}

// Blocks that buffers hold; those in quarantine are not among them.
inline uint64_t blocks_used() { return stat("blocks_used"); }

// Runs `body` in a child, and gives its status as waitpid() does.
inline int in_child(const std::function<void()> &body) {
    fflush(stdout);
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        body();
        exit(0);
    }
    int status = 0;
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    return status;
}

inline bool exited(int status, int with) { return WIFEXITED(status) && WEXITSTATUS(status) == with; }

// Memory that children share with their parent.
template <class T>
T *shared() {
    void *memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED, "mmap of shared memory");
    return static_cast<T *>(memory);
}

struct Checks {
    int passed = 0;
    int failed = 0;

    // Runs a check in a process, which must end well and leave no block in use.
    void run(const char *name, const std::function<void()> &body) {
        expect(name, body, [](int status) { return exited(status, 0); });
    }

    // The same where the process ends in another way.
    void expect(const char *name, const std::function<void()> &body, bool (*as)(int)) {
        uint64_t before = blocks_used();
        int status = in_child(body);
        bool good = as(status);
        if (!good) printf("    wrong: status %#x\n", static_cast<unsigned>(status));
        uint64_t after = blocks_used();
        if (after != before) {
            printf("    wrong: %lld blocks more in use\n", static_cast<long long>(after - before));
            good = false;
        }
        printf("%s ... %s\n", name, good ? "ok" : "FAILED");
        ++(good ? passed : failed);
    }
};
