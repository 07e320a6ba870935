/* Runs a program that lepid compiled: run INPUT.npy... OUTPUT.raw...
 *
 *     lepid compile model.onnx --dim N=2 --emit static-lib -o libnet.a
 *     cc -DPROGRAM=net_program -DHEADER='"net.h"' run.c libnet.a -lpthread -ldl -lm -o run
 *
 * It needs neither the model nor lepid. Each input is read from a `.npy` file of the right size, each
 * output is written as plain elements. The outputs are computed twice, by two sessions with one thread
 * and with two, which must agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include HEADER

static const lepid_program *const program = &PROGRAM;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void check(lepid_status status, lepid_session *session) {
    if (status != LEPID_OK) {
        fail(lepid_status_text(status), lepid_last_error(session));
    }
}

/* The elements of an array of NumPy, which stand behind a header whose length it states. */
static void *read_npy(const char *path, uint64_t bytes) {
    unsigned char head[10];
    FILE *file = fopen(path, "rb");
    if (!file || fread(head, 1, sizeof head, file) != sizeof head || memcmp(head, "\x93NUMPY", 6)) {
        fail(path, "no array of NumPy");
    }
    if (fseek(file, 10 + head[8] + 256 * head[9], SEEK_SET)) {
        fail(path, "no data");
    }
    void *data = malloc(bytes ? bytes : 1);
    if (!data || fread(data, 1, bytes, file) != bytes || fgetc(file) != EOF) {
        fail(path, "not of the size that the program takes");
    }
    fclose(file);
    return data;
}

static void write_raw(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file)) {
        fail(path, "cannot be written");
    }
}

static void describe(const char *what, const lepid_tensor_info *info) {
    printf("%s %s:", what, info->name);
    for (uint32_t axis = 0; axis < info->rank; axis++) {
        printf(" %lld", (long long)info->dims[axis]);
    }
    printf(", %llu bytes\n", (unsigned long long)info->bytes);
}

/* What goes wrong must be said, not done. */
static void misuse(lepid_session *session) {
    const void *data;
    lepid_session *none;
    char message[16];
    if (lepid_run(session) != LEPID_ERROR_ARGUMENT || !*lepid_last_error(session)) {
        fail("misuse", "a run without inputs goes through");
    }
    if (lepid_set_input(session, 0, message, 1) != LEPID_ERROR_ARGUMENT ||
        lepid_set_input(session, 999, message, 1) != LEPID_ERROR_ARGUMENT ||
        lepid_get_output(session, 0, &data, NULL) != LEPID_ERROR_ARGUMENT ||
        lepid_input(program, 999) != NULL || lepid_run(NULL) != LEPID_ERROR_ARGUMENT) {
        fail("misuse", "it goes unseen");
    }
    if (lepid_session_create(NULL, 1, &none, message, sizeof message) != LEPID_ERROR_ARGUMENT ||
        none != NULL || strlen(message) != sizeof message - 1) {
        fail("misuse", "a session of no program");
    }
}

int main(int count, char **names) {
    size_t inputs = lepid_input_count(program), outputs = lepid_output_count(program);
    if (lepid_abi_version() != LEPID_ABI_VERSION) {
        fail("version", "header and library differ");
    }
    if ((size_t)count != 1 + inputs + outputs) {
        fail(names[0], "name a file for each input and each output");
    }
    void **data = malloc((inputs + 1) * sizeof *data);
    lepid_session *sessions[2];
    for (size_t s = 0; s < 2; s++) {
        char message[200];
        if (lepid_session_create(program, s + 1, &sessions[s], message, sizeof message) != LEPID_OK) {
            fail("session", message);
        }
    }
    if (lepid_thread_count(sessions[0]) != 1) {
        fail("threads", "more than asked for");
    }
    if (inputs > 0) {
        misuse(sessions[0]);
    }
    for (size_t i = 0; i < inputs; i++) {
        const lepid_tensor_info *info = lepid_input(program, i);
        describe("input", info);
        data[i] = read_npy(names[1 + i], info->bytes);
        for (size_t s = 0; s < 2; s++) {
            check(lepid_set_input(sessions[s], i, data[i], info->bytes), sessions[s]);
        }
    }
    for (size_t s = 0; s < 2; s++) {
        check(lepid_run(sessions[s]), sessions[s]);
    }
    for (size_t i = 0; i < outputs; i++) {
        const void *one, *two;
        const int64_t *dims;
        size_t bytes;
        describe("output", lepid_output(program, i));
        check(lepid_get_output(sessions[0], i, &one, &bytes), sessions[0]);
        check(lepid_get_output(sessions[1], i, &two, NULL), sessions[1]);
        check(lepid_get_output_dims(sessions[0], i, &dims), sessions[0]);
        if (lepid_output(program, i)->rank > 0 && dims[0] != lepid_output(program, i)->dims[0]) {
            fail("outputs", "their extents are others than stated");
        }
        if (memcmp(one, two, bytes)) {
            fail("outputs", "one thread and two give different bytes");
        }
        write_raw(names[1 + inputs + i], one, bytes);
    }
    for (size_t i = 0; i < inputs; i++) {
        free(data[i]);
    }
    free(data);
    lepid_session_destroy(sessions[0]);
    lepid_session_destroy(sessions[1]);
    lepid_session_destroy(NULL);
    return 0;
}
