// Lacuna: pruned, quantised Transformer encoders on CPUs.
//
// Functions that can fail return a LacunaStatus. After another value than LACUNA_STATUS_OK, lacuna_last_error() says what failed.
// No function lets a panic of the library out, and none changes the signals of the process. (A panic is a bug. Rust prints it on the standard error.)
//
// Threads: handles may be shared between threads unless a function says otherwise. Free a handle once, when no call uses it. A calling thread needs a
// stack of 64 KiB. Do not unload the library: threads of it may run.
//
// Processes: one that was forked from a process that had used the library opens its own models, with the option `threads`; calls with the handles of its
// parent are refused. Fork while no other thread is inside the library.
//
// Made by cbindgen from the sources in bindings/c/src. Do not edit.


#ifndef LACUNA_H
#define LACUNA_H

#include <stddef.h>
#include <stdint.h>

// Something that failed.
#define LACUNA_LOG_ERROR 1

// Something to look at, such as texts that were truncated.
#define LACUNA_LOG_WARNING 2

// What the library does.
#define LACUNA_LOG_INFO 3

// The default prompt of the model, if it has one.
#define LACUNA_PROMPT_DEFAULT 0

// No prompt.
#define LACUNA_PROMPT_NONE 1

// The prompt of the model that has the name in `prompt`, such as "query".
#define LACUNA_PROMPT_NAME 2

// The text in `prompt`.
#define LACUNA_PROMPT_TEXT 3

// How a call ended.
typedef enum LacunaStatus {
  // It did what was asked.
  LACUNA_STATUS_OK = 0,
  // The system refused to read or write.
  LACUNA_STATUS_IO = 1,
  // A file that is not there.
  LACUNA_STATUS_NOT_FOUND = 2,
  // A file whose contents are not what they should be.
  LACUNA_STATUS_INVALID_FILE = 3,
  // A model or a setting that is not supported.
  LACUNA_STATUS_UNSUPPORTED = 4,
  // An option out of its bounds, or a task that is not that of the model's head.
  LACUNA_STATUS_INVALID_OPTION = 5,
  // An input that cannot be used: a NULL pointer, bytes that are not UTF-8, no texts, too small a buffer.
  LACUNA_STATUS_INVALID_INPUT = 6,
  // Something that the call needs and the model does not have, such as a head or a tokenizer.
  LACUNA_STATUS_MISSING = 7,
  // This machine or process cannot do it.
  LACUNA_STATUS_MACHINE = 8,
  // Another thread stopped it.
  LACUNA_STATUS_CANCELLED = 9,
  // A bug of the library.
  LACUNA_STATUS_INTERNAL = 10,
} LacunaStatus;

// The answers to some questions.
typedef struct LacunaAnswers LacunaAnswers;

// Stops the calls that have it in their options.
typedef struct LacunaCancel LacunaCancel;

// An encoder that is compiled for this machine, with the head of its model.
typedef struct LacunaEncoder LacunaEncoder;

// The entities of some texts.
typedef struct LacunaEntities LacunaEntities;

// The candidates for the masks of some texts.
typedef struct LacunaFillings LacunaFillings;

// A text in UTF-8, which the caller keeps alive during the call. It needs no NUL at its end.
typedef struct LacunaText {
  // Its first byte. May be NULL if the length is 0.
  const char *data;
  // Its length in bytes.
  size_t length;
} LacunaText;

// Gets a message: its level, the part of the library that says it, the text, and the pointer that was given to `lacuna_set_log`. The texts are
// valid during the call.
typedef void (*LacunaLog)(uint32_t level, const char *target, const char *text, void *data);

// How an encoder is opened. Set `size` to sizeof(LacunaOpenOptions) and the rest to zero for the defaults.
typedef struct LacunaOpenOptions {
  // sizeof(LacunaOpenOptions).
  size_t size;
  // Threads of each call, at most 1024; 0 for those of the process, as many as it is granted CPUs, which all calls share.
  size_t threads;
  // "avx512vnni", "avxvnni", "avx2" or "portable"; NULL for LACUNA_TIER or the best of this machine. One that the machine lacks is an error.
  const char *tier;
} LacunaOpenOptions;

// Options of `lacuna_embed`. Set `size` to sizeof(LacunaEmbedOptions) and the rest to zero for the defaults.
typedef struct LacunaEmbedOptions {
  // sizeof(LacunaEmbedOptions).
  size_t size;
  // Stops the call from another thread; NULL if nothing does.
  const struct LacunaCancel *cancel;
  // A name or a text, as `prompt_kind` says; else NULL.
  const char *prompt;
  // What is put before every text: one of the constants LACUNA_PROMPT_...
  uint32_t prompt_kind;
  // 1 to divide every vector by its length, 0 to leave it as the model makes it.
  uint32_t normalize;
  // The first features to keep; 0 for all. Vectors are cut first, and normalised then.
  size_t dimensions;
} LacunaEmbedOptions;

// Options of calls that have no others. Set `size` to sizeof(LacunaCallOptions) and the rest to zero for the defaults.
typedef struct LacunaCallOptions {
  // sizeof(LacunaCallOptions).
  size_t size;
  // Stops the call from another thread; NULL if nothing does.
  const struct LacunaCancel *cancel;
} LacunaCallOptions;

// A passage and its score.
typedef struct LacunaRanked {
  // Index of the passage among those given.
  size_t index;
  // Larger is better. NaN if the logit is.
  float score;
  // What the score is made of.
  float logit;
} LacunaRanked;

// Options of `lacuna_tag`. Set `size` to sizeof(LacunaTagOptions) and the rest to zero for the defaults.
typedef struct LacunaTagOptions {
  // sizeof(LacunaTagOptions).
  size_t size;
  // Stops the call from another thread; NULL if nothing does.
  const struct LacunaCancel *cancel;
  // How tokens become entities: "none", "simple", "first", "average" or "max"; NULL for "simple".
  const char *aggregation;
  // What the prefixes of labels mean: "io", "bio", "bioes" or "bilou"; NULL for what the labels look like.
  const char *scheme;
  // Tokens that two neighbouring windows of a long text share; 0 for the smaller of 128 and half of the room.
  size_t overlap;
} LacunaTagOptions;

// A span of a text with a label.
typedef struct LacunaEntity {
  // Index of the text.
  size_t text;
  // First byte in the text.
  size_t start;
  // One past the last byte.
  size_t end;
  // Its label, which lives as long as the entities. A NUL in it is replaced by U+FFFD.
  const char *label;
  // Mean over its words (or tokens) of the probability of the label.
  float score;
} LacunaEntity;

// Options of `lacuna_answer`. Set `size` to sizeof(LacunaAnswerOptions) and the rest to zero for the defaults.
typedef struct LacunaAnswerOptions {
  // sizeof(LacunaAnswerOptions).
  size_t size;
  // Stops the call from another thread; NULL if nothing does.
  const struct LacunaCancel *cancel;
  // Most answers per question, which do not overlap; 0 for 1.
  size_t top_k;
  // Longest answer in tokens; 0 for 30.
  size_t max_tokens;
  // Tokens that two neighbouring windows of a long context share; 0 for the smaller of 128 and half of the room.
  size_t overlap;
  // 1 if "no answer" may be an answer: for models that were trained on questions without one.
  uint32_t allow_none;
  // 0.
  uint32_t reserved;
} LacunaAnswerOptions;

// A part of a context, or that the context holds no answer.
typedef struct LacunaAnswer {
  // Index of the question.
  size_t question;
  // First byte in the context.
  size_t start;
  // One past the last byte.
  size_t end;
  // Probability among all spans of the context.
  float score;
  // Sum of the logits of the first and the last token.
  float logit;
  // 1 if the answer is that the context holds none; `start` and `end` are 0 then.
  uint32_t is_none;
} LacunaAnswer;

// Options of `lacuna_fill`. Set `size` to sizeof(LacunaFillOptions) and the rest to zero for the defaults.
typedef struct LacunaFillOptions {
  // sizeof(LacunaFillOptions).
  size_t size;
  // Stops the call from another thread; NULL if nothing does.
  const struct LacunaCancel *cancel;
  // Candidates per mask; 0 for 5.
  size_t top_k;
} LacunaFillOptions;

// A candidate for a mask.
typedef struct LacunaFilling {
  // Index of the text.
  size_t text;
  // First byte of the mask in the text, without blanks that the token takes in.
  size_t start;
  // One past its last byte.
  size_t end;
  // What the token stands for, with the blank before it where the vocabulary has one. It lives as long as the fillings. A NUL in it is
  // replaced by U+FFFD.
  const char *token;
  // Index of the token in the vocabulary.
  uint32_t id;
  // Softmax over the vocabulary.
  float score;
  // What the score is made of.
  float logit;
} LacunaFilling;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What failed in the last call of this thread that failed; empty if none did, and while the thread ends: in destructors of its own variables, and in
// functions of atexit.
//
// Threads: every thread has a text of its own. It stays valid until another call of this thread fails.
const char *lacuna_last_error(void);

// The name of a status in one or two words, such as "invalid file"; "unknown status" for a number that is none.
//
// Threads: any, at any time. The text is never freed.
const char *lacuna_status_name(int32_t status);

// The version of the library, such as "0.1.0".
//
// Threads: any, at any time. The text is never freed.
const char *lacuna_version(void);

// A string that ends with NUL, as a text. NULL gives a text that calls refuse.
//
// Threads: any, at any time.
//
// The caller promises: `string` is NULL, or ends with NUL.
struct LacunaText lacuna_text(const char *string);

// Makes one. Free it with `lacuna_cancel_free`.
//
// Threads: any, at any time.
struct LacunaCancel *lacuna_cancel_new(void);

// Ends running calls at their next encoder layer, and later ones at once, with `LACUNA_STATUS_CANCELLED`. Texts are made into tokens before the first
// layer, which takes some seconds for millions of words and is not interrupted. Does nothing for NULL.
//
// Threads: any, also while calls run that have it. It is safe in a signal handler.
//
// The caller promises: `cancel` is NULL, or was not freed.
void lacuna_cancel_stop(const struct LacunaCancel *cancel);

// Lets calls run again. Does nothing for NULL.
//
// Threads: any.
//
// The caller promises: `cancel` is NULL, or was not freed.
void lacuna_cancel_reset(const struct LacunaCancel *cancel);

// Frees it. Does nothing for NULL.
//
// Threads: any, once, when no call uses it.
//
// The caller promises: `cancel` is NULL, or was not freed, and nothing uses it.
void lacuna_cancel_free(struct LacunaCancel *cancel);

// Sends the messages of the library to `log`, with `data`; NULL ends that. Without it nothing is said anywhere: the library writes to no stream.
//
// The function must not call the library, throw an exception or leave with longjmp.
//
// Threads: any. The function is called from threads of the library, several at a time. This waits until no thread uses the function that was set before, so
// do not hold a lock that the function takes.
//
// The caller promises: `log` is NULL, or may be called with `data` from any thread until this is called again.
enum LacunaStatus lacuna_set_log(LacunaLog log,
                                 void *data);

// Opens a file of `lacuna pack`, which takes milliseconds, or a model directory or one of its weight files, which is calibrated first and takes seconds.
// `*encoder` is the encoder, or NULL after an error. Free it with `lacuna_encoder_free`.
//
// A packed file is mapped into memory. Do not change or shorten it while the encoder lives: the system would end the process. Move a new file to its
// place instead.
//
// `options` may be NULL. Threads: any, at any time.
//
// The caller promises: `path` ends with NUL, `options` is NULL or valid, and `encoder` is a place for a pointer.
enum LacunaStatus lacuna_encoder_open(const char *path,
                                      const struct LacunaOpenOptions *options,
                                      struct LacunaEncoder **encoder);

// Frees an encoder. Does nothing for NULL.
//
// Threads: any, once, when no call uses it.
//
// The caller promises: `encoder` is NULL, or was not freed, and nothing uses it.
void lacuna_encoder_free(struct LacunaEncoder *encoder);

// Features of an embedding: how many floats `lacuna_embed` writes per text. 0 for NULL.
//
// Threads: any, at any time.
//
// The caller promises: `encoder` is NULL, or was not freed.
size_t lacuna_encoder_features(const struct LacunaEncoder *encoder);

// The longest text in tokens, special tokens included. 0 for NULL.
//
// Threads: any, at any time.
//
// The caller promises: `encoder` is NULL, or was not freed.
size_t lacuna_encoder_max_tokens(const struct LacunaEncoder *encoder);

// How many labels the head of the model has; 0 without a head, and for NULL.
//
// Threads: any, at any time.
//
// The caller promises: `encoder` is NULL, or was not freed.
size_t lacuna_encoder_labels(const struct LacunaEncoder *encoder);

// A label of the head, counted from 0. NULL if there is no such label. A NUL in it is replaced by U+FFFD.
//
// Threads: any, at any time. The text lives as long as the encoder.
//
// The caller promises: `encoder` is NULL, or was not freed.
const char *lacuna_encoder_label(const struct LacunaEncoder *encoder, size_t index);

// How the encoder was loaded, as a text of several lines for people: times, kernels, density and form of every layer. NULL for NULL.
//
// Threads: any, at any time. The text lives as long as the encoder.
//
// The caller promises: `encoder` is NULL, or was not freed.
const char *lacuna_encoder_report(const struct LacunaEncoder *encoder);

// Writes one vector per text to `vectors`, row after row: `count` times `lacuna_encoder_features`, or `dimensions` if the options say so.
//
// `capacity` is the number of floats that `vectors` has room for. `cut` may be NULL; else it has room for `count` numbers and gets, for each text, the
// tokens that were left out because the text is too long for the model. After an error `vectors` and `cut` are as they were.
//
// `options` may be NULL. Threads: any number of calls at the same time.
//
// The caller promises: Pointers are NULL, or point to what the names say.
enum LacunaStatus lacuna_embed(const struct LacunaEncoder *encoder,
                               const struct LacunaText *texts,
                               size_t count,
                               const struct LacunaEmbedOptions *options,
                               float *vectors,
                               size_t capacity,
                               size_t *cut);

// Writes the passages of a query to `ranked`, the best first. The model needs a head for sequence classification with one label, or with two of which the
// second is "relevant".
//
// `ranked` has room for `capacity` results, at least `count`. `cut` may be NULL; else it has room for `count` numbers and gets, for each passage in the
// order given, the tokens that were left out of it and the query. After an error `ranked` and `cut` are as they were.
//
// `options` may be NULL. Threads: any number of calls at the same time.
//
// The caller promises: Pointers are NULL, or point to what the names say.
enum LacunaStatus lacuna_rank(const struct LacunaEncoder *encoder,
                              struct LacunaText query,
                              const struct LacunaText *passages,
                              size_t count,
                              const struct LacunaCallOptions *options,
                              struct LacunaRanked *ranked,
                              size_t capacity,
                              size_t *cut);

// Writes one score per text and label to `scores`, row after row: `count` times `lacuna_encoder_labels`, in the order of `lacuna_encoder_label`. The model
// needs a head for sequence classification. Scores are what the model's files say: softmax, sigmoid, or the values of a regression.
//
// `seconds` is NULL, or has the second text of every pair. `capacity` is the number of floats that `scores` has room for. `cut` may be NULL; else it has
// room for `count` numbers and gets the tokens of each input that were left out. After an error `scores` and `cut` are as they were.
//
// `options` may be NULL. Threads: any number of calls at the same time.
//
// The caller promises: Pointers are NULL, or point to what the names say.
enum LacunaStatus lacuna_classify(const struct LacunaEncoder *encoder,
                                  const struct LacunaText *texts,
                                  const struct LacunaText *seconds,
                                  size_t count,
                                  const struct LacunaCallOptions *options,
                                  float *scores,
                                  size_t capacity,
                                  size_t *cut);

// Finds the labelled spans of every text, in the order of the texts and in them. The model needs a head for token classification. A long text is read in
// windows. `*entities` are the entities, or NULL after an error. Free them with `lacuna_entities_free`.
//
// `options` may be NULL. Threads: any number of calls at the same time.
//
// The caller promises: Pointers are NULL, or point to what the names say.
enum LacunaStatus lacuna_tag(const struct LacunaEncoder *encoder,
                             const struct LacunaText *texts,
                             size_t count,
                             const struct LacunaTagOptions *options,
                             struct LacunaEntities **entities);

// The entities as an array, which lives as long as they do, and their number in `*count`. NULL and 0 for NULL. NULL if `count` is NULL.
//
// Threads: any, at any time.
//
// The caller promises: `entities` is NULL, or was not freed; `count` is NULL, or a place for a number.
const struct LacunaEntity *lacuna_entities_get(const struct LacunaEntities *entities,
                                               size_t *count);

// Frees entities. Does nothing for NULL.
//
// Threads: any, once, when nothing uses them.
//
// The caller promises: `entities` is NULL, or was not freed.
void lacuna_entities_free(struct LacunaEntities *entities);

// Finds answers to every question in the context of the same index, the best first. The model needs a head for question answering. A long context is read
// in windows. `*answers` are the answers, or NULL after an error. Free them with `lacuna_answers_free`.
//
// `options` may be NULL. Threads: any number of calls at the same time.
//
// The caller promises: Pointers are NULL, or point to what the names say.
enum LacunaStatus lacuna_answer(const struct LacunaEncoder *encoder,
                                const struct LacunaText *questions,
                                const struct LacunaText *contexts,
                                size_t count,
                                const struct LacunaAnswerOptions *options,
                                struct LacunaAnswers **answers);

// The answers as an array, which lives as long as they do, and their number in `*count`. NULL and 0 for NULL. NULL if `count` is NULL.
//
// Threads: any, at any time.
//
// The caller promises: `answers` is NULL, or was not freed; `count` is NULL, or a place for a number.
const struct LacunaAnswer *lacuna_answers_get(const struct LacunaAnswers *answers,
                                              size_t *count);

// Frees answers. Does nothing for NULL.
//
// Threads: any, once, when nothing uses them.
//
// The caller promises: `answers` is NULL, or was not freed.
void lacuna_answers_free(struct LacunaAnswers *answers);

// Finds candidates for every mask of every text, the most probable first, in the order of the texts and of their masks. The model needs a head for masked
// tokens. `*fillings` are the candidates, or NULL after an error. Free them with `lacuna_fillings_free`.
//
// `options` may be NULL. Threads: any number of calls at the same time.
//
// The caller promises: Pointers are NULL, or point to what the names say.
enum LacunaStatus lacuna_fill(const struct LacunaEncoder *encoder,
                              const struct LacunaText *texts,
                              size_t count,
                              const struct LacunaFillOptions *options,
                              struct LacunaFillings **fillings);

// The candidates as an array, which lives as long as they do, and their number in `*count`. NULL and 0 for NULL. NULL if `count` is NULL.
//
// Threads: any, at any time.
//
// The caller promises: `fillings` is NULL, or was not freed; `count` is NULL, or a place for a number.
const struct LacunaFilling *lacuna_fillings_get(const struct LacunaFillings *fillings,
                                                size_t *count);

// Frees candidates. Does nothing for NULL.
//
// Threads: any, once, when nothing uses them.
//
// The caller promises: `fillings` is NULL, or was not freed.
void lacuna_fillings_free(struct LacunaFillings *fillings);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LACUNA_H */
