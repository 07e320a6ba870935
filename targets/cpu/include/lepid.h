/* The C interface of programs that lepid compiled ahead of time, version 1.
 *
 * A program is constant data of the object file: code, weights, and what it says of itself. A
 * session is one user of a program: it owns its intermediate memory, its outputs and its threads.
 * There is no other state, so that any number of programs and sessions live side by side. Different
 * sessions may be used from different threads at once; one session from one thread at a time.
 *
 * Every function that can fail gives a `lepid_status`; `lepid_last_error` says in words what was
 * wrong with the last call on a session that failed. No function prints, and none ends the process
 * for anything that a caller does, save that pointers must be null or valid.
 *
 *     lepid_session *session;
 *     if (lepid_session_create(&NAME_program, 2, &session, NULL, 0) != LEPID_OK) ...
 *     lepid_set_input(session, 0, pixels, sizeof pixels);
 *     lepid_run(session);
 *     const void *scores;
 *     lepid_get_output(session, 0, &scores, NULL);
 *     lepid_session_destroy(session);
 */
#ifndef LEPID_H
#define LEPID_H

#include <stddef.h>
#include <stdint.h>

#define LEPID_ABI_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

/* A compiled function. It is never freed. */
typedef struct lepid_program lepid_program;
/* One user of a program. */
typedef struct lepid_session lepid_session;

typedef int32_t lepid_status;
enum {
    LEPID_OK = 0,
    /* A null pointer, an index out of range, a size that does not fit, an input that is not set. */
    LEPID_ERROR_ARGUMENT = 1,
    /* The object and the library that it is linked with are of different versions of lepid. */
    LEPID_ERROR_VERSION = 2,
    /* The code is for another processor. */
    LEPID_ERROR_MACHINE = 3,
    /* The system does not give the memory. */
    LEPID_ERROR_MEMORY = 4,
    /* What only a run can find: a value breaks a rule of an operation. */
    LEPID_ERROR_RUN = 5
};

/* Types of elements. Truth values are bytes of 0 or 1; integers of 2 and 4 bits take a byte each. */
typedef int32_t lepid_elem;
enum {
    LEPID_F64 = 1,
    LEPID_F32 = 2,
    LEPID_F16 = 3,
    LEPID_BF16 = 4,
    LEPID_I64 = 5,
    LEPID_I32 = 6,
    LEPID_I16 = 7,
    LEPID_I8 = 8,
    LEPID_I4 = 9,
    LEPID_U64 = 10,
    LEPID_U32 = 11,
    LEPID_U16 = 12,
    LEPID_U8 = 13,
    LEPID_U4 = 14,
    LEPID_BOOL = 15,
    LEPID_I2 = 16,
    LEPID_U2 = 17
};

/* An input or an output: a dense tensor in row-major order. */
typedef struct lepid_tensor_info {
    const char *name;
    lepid_elem elem;
    uint32_t rank;
    /* `rank` extents, outermost first; -1 for one that depends on data. */
    const int64_t *dims;
    /* The size of all elements; 0 if it depends on data. */
    uint64_t bytes;
} lepid_tensor_info;

/* The version of the interface that the library has; compare it with LEPID_ABI_VERSION. */
uint32_t lepid_abi_version(void);
/* A few words for a status. */
const char *lepid_status_text(lepid_status status);

/* What goes in and what comes out. `lepid_input` and `lepid_output` give NULL for an index that is
 * out of range; what they point to lives as long as the program. */
size_t lepid_input_count(const lepid_program *program);
size_t lepid_output_count(const lepid_program *program);
const lepid_tensor_info *lepid_input(const lepid_program *program, size_t index);
const lepid_tensor_info *lepid_output(const lepid_program *program, size_t index);

/* What stays in a session from run to run, such as a cache that each run adds to: see `--state` of
 * `lepid compile`. A state is neither among the inputs nor among the outputs. Its name in the info is
 * that of its input in the model; `lepid_find_state` gives the index for the name of its input or of
 * its output, and SIZE_MAX if there is no such state. */
size_t lepid_state_count(const lepid_program *program);
const lepid_tensor_info *lepid_state(const lepid_program *program, size_t index);
size_t lepid_find_state(const lepid_program *program, const char *name);

/* Makes a session that runs on `threads` threads, the caller's among them; 0 stands for 1. If it
 * fails, `*session` is NULL, and `message` gets why, cut to `capacity` bytes with the final zero;
 * `message` may be NULL. Outputs do not depend on the number of threads. */
lepid_status lepid_session_create(const lepid_program *program, size_t threads,
                                  lepid_session **session, char *message, size_t capacity);
/* Frees a session and ends its threads. NULL is fine. */
void lepid_session_destroy(lepid_session *session);
/* The threads that the session runs on. */
size_t lepid_thread_count(const lepid_session *session);

/* The bytes that a run may take for values whose size depends on data, all of them together; 4 GiB
 * if nothing is said. A run that needs more ends with LEPID_ERROR_RUN. */
lepid_status lepid_set_memory_limit(lepid_session *session, uint64_t bytes);

/* How many samples the program computes at a time at most, if it takes any number of them; 0 if it is
 * for a fixed number. */
size_t lepid_batch(const lepid_session *session);
/* The number of samples of the next runs; `lepid_batch` if nothing is said. More than that are done in
 * turns. Inputs and outputs that hold samples take so many times the bytes of one: `bytes` of their
 * `lepid_tensor_info` is for `lepid_batch` samples, as is the first of the `dims`. */
lepid_status lepid_set_samples(lepid_session *session, size_t samples);

/* Copies an input. It stays set for all later runs. */
lepid_status lepid_set_input(lepid_session *session, size_t index, const void *data, size_t bytes);
/* Lets runs read an input where it is. The memory must be aligned for its elements, and stay until
 * the last run or another setting of the input. */
lepid_status lepid_bind_input(lepid_session *session, size_t index, const void *data, size_t bytes);
/* Lets runs write an output there. The memory must be aligned for its elements, overlap no input and
 * no other output, and stay until the last run or another setting; NULL gives it back to the
 * session. An output whose size depends on data cannot be bound. */
lepid_status lepid_bind_output(lepid_session *session, size_t index, void *data, size_t bytes);

/* Runs once. All inputs must be set. If a run fails, what states are is not said: set or reset them
 * before the next. */
lepid_status lepid_run(lepid_session *session);

/* Copies a value into a state, which is zero at first. */
lepid_status lepid_set_state(lepid_session *session, size_t index, const void *data, size_t bytes);
/* Where a state is now, and its size if `bytes` is not NULL: what the last run made of it, or what it
 * was set to. It is there until the next run or the end of the session. */
lepid_status lepid_get_state(lepid_session *session, size_t index, const void **data, size_t *bytes);
/* Makes all states zero, as they are at first. */
lepid_status lepid_reset_states(lepid_session *session);

/* Where an output of the last run is, and its size if `bytes` is not NULL. It stays until the next
 * run or the end of the session. An output whose size depends on data may lie in an input: it then
 * stays until that input is set or bound anew, too. After a run that failed there is none. */
lepid_status lepid_get_output(lepid_session *session, size_t index, const void **data,
                              size_t *bytes);

/* The extents of an output of the last run, `rank` numbers. They stay as long as the output does. */
lepid_status lepid_get_output_dims(lepid_session *session, size_t index, const int64_t **dims);

/* What was wrong with the last call on this session that failed; "" if none did. It stays until the
 * next call on the session. */
const char *lepid_last_error(const lepid_session *session);

#ifdef __cplusplus
}
#endif

#endif
