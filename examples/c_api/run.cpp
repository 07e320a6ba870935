// The same as run.c in C++: several threads run a program at once, each with a session of its own,
// and read inputs and write outputs where they are.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include HEADER

namespace {

constexpr int kThreads = 3;

struct Destroy {
    void operator()(lepid_session *session) const { lepid_session_destroy(session); }
};
using Session = std::unique_ptr<lepid_session, Destroy>;
using Bytes = std::vector<char>;

Session make_session(const lepid_program &program, std::size_t threads) {
    lepid_session *session = nullptr;
    char message[200];
    if (lepid_session_create(&program, threads, &session, message, sizeof message) != LEPID_OK) {
        throw std::runtime_error(message);
    }
    return Session(session);
}

void check(lepid_status status, const Session &session) {
    if (status != LEPID_OK) {
        throw std::runtime_error(lepid_last_error(session.get()));
    }
}

Bytes read_npy(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    Bytes all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (all.size() < 10 || std::memcmp(all.data(), "\x93NUMPY", 6) != 0) {
        throw std::runtime_error(path + ": no array of NumPy");
    }
    const auto byte = [&](int at) { return static_cast<unsigned char>(all[at]); };
    const std::size_t start = 10 + byte(8) + 256 * byte(9);
    if (start > all.size()) {
        throw std::runtime_error(path + ": no data");
    }
    return Bytes(all.begin() + start, all.end());
}

std::vector<Bytes> run(const lepid_program &program, const std::vector<Bytes> &inputs) {
    Session session = make_session(program, 2);
    for (std::size_t i = 0; i < inputs.size(); i++) {
        check(lepid_bind_input(session.get(), i, inputs[i].data(), inputs[i].size()), session);
    }
    std::vector<Bytes> outputs;
    for (std::size_t i = 0; i < lepid_output_count(&program); i++) {
        outputs.emplace_back(lepid_output(&program, i)->bytes);
        check(lepid_bind_output(session.get(), i, outputs[i].data(), outputs[i].size()), session);
    }
    check(lepid_run(session.get()), session);
    return outputs;
}

}  // namespace

int main(int count, char **names) try {
    const lepid_program &program = PROGRAM;
    const std::size_t inputs = lepid_input_count(&program), outputs = lepid_output_count(&program);
    if (static_cast<std::size_t>(count) != 1 + inputs + outputs) {
        throw std::runtime_error("name a file for each input and each output");
    }
    std::vector<Bytes> data;
    for (std::size_t i = 0; i < inputs; i++) {
        data.push_back(read_npy(names[1 + i]));
    }
    std::vector<std::vector<Bytes>> found(kThreads);
    std::vector<std::string> errors(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; t++) {
        threads.emplace_back([&, t] {
            try {
                found[t] = run(program, data);
            } catch (const std::exception &error) {
                errors[t] = error.what();
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    for (int t = 0; t < kThreads; t++) {
        if (!errors[t].empty()) {
            throw std::runtime_error(errors[t]);
        }
        if (found[t] != found[0]) {
            throw std::runtime_error("threads give different bytes");
        }
    }
    for (std::size_t i = 0; i < outputs; i++) {
        std::ofstream file(names[1 + inputs + i], std::ios::binary);
        file.write(found[0][i].data(), static_cast<std::streamsize>(found[0][i].size()));
    }
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
