// What the header promises: bad arguments are errors with a text, results are right, handles may be shared, nothing is lost or leaked.
//
//     contract CLASSIFIER RERANKER TAGGER ANSWERER FILLER
//
// The models are those of ../python/tests/tiny.py, whose answers are known.

#include <lacuna.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures = 0;

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #condition, lacuna_last_error()); \
            failures++;                                                                      \
        }                                                                                    \
    } while (0)

// The call fails with this status, and its text has these words.
#define FAILS(call, expected, words)                                     \
    do {                                                                 \
        LacunaStatus found_status = (call);                              \
        CHECK(found_status == (expected));                               \
        CHECK(strstr(lacuna_last_error(), (words)) != NULL);             \
    } while (0)

#define COUNT(array) (sizeof(array) / sizeof *(array))

static LacunaEncoder *open_model(const char *path) {
    LacunaEncoder *encoder;
    LacunaOpenOptions options = {.size = sizeof options, .threads = 1};
    CHECK(lacuna_encoder_open(path, &options, &encoder) == LACUNA_STATUS_OK);
    if (encoder == NULL) {
        exit(EXIT_FAILURE);
    }
    return encoder;
}

static void opening(const char *path) {
    LacunaEncoder *encoder = (LacunaEncoder *)&failures;
    FAILS(lacuna_encoder_open(NULL, NULL, &encoder), LACUNA_STATUS_INVALID_INPUT, "path: found NULL");
    CHECK(encoder == NULL);
    FAILS(lacuna_encoder_open(path, NULL, NULL), LACUNA_STATUS_INVALID_INPUT, "encoder: found NULL");
    FAILS(lacuna_encoder_open("no/such/model", NULL, &encoder), LACUNA_STATUS_NOT_FOUND, "no/such/model");
    FAILS(lacuna_encoder_open("/dev/null", NULL, &encoder), LACUNA_STATUS_IO, "/dev/null");

    FAILS(lacuna_encoder_open("", NULL, &encoder), LACUNA_STATUS_INVALID_INPUT, "path: found an empty path");
    char empty[] = "/tmp/contract-XXXXXX.lacuna";
    int file = mkstemps(empty, 7);
    CHECK(file >= 0 && close(file) == 0);
    FAILS(lacuna_encoder_open(empty, NULL, &encoder), LACUNA_STATUS_INVALID_FILE, empty);
    remove(empty);

    LacunaOpenOptions options = {.size = 0};
    FAILS(lacuna_encoder_open(path, &options, &encoder), LACUNA_STATUS_INVALID_INPUT, "LacunaOpenOptions.size: found 0");
    options.size = (size_t)1 << 40;
    FAILS(lacuna_encoder_open(path, &options, &encoder), LACUNA_STATUS_INVALID_INPUT, "LacunaOpenOptions.size: found 1099511627776");
    options.size = sizeof options;
    options.threads = 1000000000;
    FAILS(lacuna_encoder_open(path, &options, &encoder), LACUNA_STATUS_INVALID_OPTION, "threads: found 1000000000");
    options.threads = 0;
    options.tier = "avx9";
    FAILS(lacuna_encoder_open(path, &options, &encoder), LACUNA_STATUS_INVALID_OPTION, "tier: found avx9");
    options.tier = "\xff";
    FAILS(lacuna_encoder_open(path, &options, &encoder), LACUNA_STATUS_INVALID_INPUT, "UTF-8");

    // A header that is newer than the library: what it does not know must be zero.
    struct {
        LacunaOpenOptions known;
        uint64_t later;
    } newer = {.known = {.size = sizeof newer}, .later = 1};
    FAILS(lacuna_encoder_open(path, &newer.known, &encoder), LACUNA_STATUS_UNSUPPORTED, "does not know");
    CHECK(encoder == NULL);
    newer.later = 0;
    CHECK(lacuna_encoder_open(path, &newer.known, &encoder) == LACUNA_STATUS_OK);
    lacuna_encoder_free(encoder);

    for (const char *const *tier = (const char *const[]){"portable", NULL}; *tier != NULL; tier++) {
        LacunaOpenOptions portable = {.size = sizeof portable, .tier = *tier, .threads = 2};
        CHECK(lacuna_encoder_open(path, &portable, &encoder) == LACUNA_STATUS_OK);
        CHECK(strstr(lacuna_encoder_report(encoder), *tier) != NULL);
        lacuna_encoder_free(encoder);
    }

    // NULL is no handle, and no crash.
    lacuna_encoder_free(NULL);
    CHECK(lacuna_encoder_features(NULL) == 0 && lacuna_encoder_max_tokens(NULL) == 0 && lacuna_encoder_labels(NULL) == 0);
    CHECK(lacuna_encoder_label(NULL, 0) == NULL && lacuna_encoder_report(NULL) == NULL);
    lacuna_cancel_stop(NULL);
    lacuna_cancel_reset(NULL);
    lacuna_cancel_free(NULL);
}

static void embedding(const LacunaEncoder *encoder) {
    size_t features = lacuna_encoder_features(encoder);
    CHECK(features == 64);
    CHECK(lacuna_encoder_max_tokens(encoder) == 64);
    LacunaText texts[] = {lacuna_text("a cat sat on the mat ."), lacuna_text(""), {"a dogs", 5}, {NULL, 0}};
    enum { TEXTS = 4, FEATURES = 64 };
    static float vectors[TEXTS * FEATURES + 1], other[TEXTS * FEATURES];
    size_t cut[TEXTS + 1] = {9, 9, 9, 9, 77};
    vectors[TEXTS * FEATURES] = 77;
    CHECK(lacuna_embed(encoder, texts, TEXTS, NULL, vectors, TEXTS * FEATURES, cut) == LACUNA_STATUS_OK);
    CHECK(vectors[TEXTS * FEATURES] == 77 && cut[TEXTS] == 77);
    CHECK(cut[0] == 0 && cut[1] == 0 && cut[2] == 0 && cut[3] == 0);
    CHECK(memcmp(vectors + FEATURES, vectors + 3 * FEATURES, sizeof(float) * FEATURES) == 0); // both are empty
    LacunaText dog = lacuna_text("a dog");                                                   // as many bytes as said
    CHECK(lacuna_embed(encoder, &dog, 1, NULL, other, FEATURES, NULL) == LACUNA_STATUS_OK);
    CHECK(memcmp(vectors + 2 * FEATURES, other, sizeof(float) * FEATURES) == 0);

    // Prompts, fewer features, length one.
    LacunaEmbedOptions options = {.size = sizeof options, .prompt_kind = LACUNA_PROMPT_TEXT, .prompt = "a "};
    LacunaText word = lacuna_text("dog");
    CHECK(lacuna_embed(encoder, &word, 1, &options, other, FEATURES, NULL) == LACUNA_STATUS_OK);
    CHECK(memcmp(vectors + 2 * FEATURES, other, sizeof(float) * FEATURES) == 0);
    options = (LacunaEmbedOptions){.size = sizeof options, .dimensions = 8, .normalize = 1};
    CHECK(lacuna_embed(encoder, texts, TEXTS, &options, other, TEXTS * 8, NULL) == LACUNA_STATUS_OK);
    double length = 0, dot = 0, all = 0;
    for (size_t i = 0; i < 8; i++) {
        length += (double)other[i] * other[i];
        dot += (double)other[i] * vectors[i];
        all += (double)vectors[i] * vectors[i];
    }
    CHECK(fabs(length - 1) < 1e-6 && fabs(dot - sqrt(all)) < 1e-5);

    // A text that is longer than the model can read.
    char *words = malloc(2 * 100 + 1);
    for (size_t i = 0; i < 100; i++) {
        memcpy(words + 2 * i, "a ", 3);
    }
    LacunaText many = lacuna_text(words);
    CHECK(lacuna_embed(encoder, &many, 1, NULL, other, FEATURES, cut) == LACUNA_STATUS_OK);
    CHECK(cut[0] == 100 + 2 - 64);
    free(words);

    // Bad arguments leave the results alone.
    other[0] = 77;
    cut[0] = 77;
    FAILS(lacuna_embed(NULL, texts, 1, NULL, other, FEATURES, cut), LACUNA_STATUS_INVALID_INPUT, "encoder: found NULL");
    FAILS(lacuna_embed(encoder, NULL, 1, NULL, other, FEATURES, cut), LACUNA_STATUS_INVALID_INPUT, "texts: found NULL");
    FAILS(lacuna_embed(encoder, texts, 0, NULL, other, FEATURES, cut), LACUNA_STATUS_INVALID_INPUT, "");
    FAILS(lacuna_embed(encoder, texts, 1, NULL, NULL, FEATURES, cut), LACUNA_STATUS_INVALID_INPUT, "vectors: found NULL");
    FAILS(lacuna_embed(encoder, texts, 1, NULL, other, 63, cut), LACUNA_STATUS_INVALID_INPUT, "room for 63 values");
    FAILS(lacuna_embed(encoder, texts, SIZE_MAX / 2, NULL, other, 64, cut), LACUNA_STATUS_INVALID_INPUT, "texts");
    LacunaText null = lacuna_text(NULL), invalid[] = {lacuna_text("a"), lacuna_text("a \xc3(")}, endless = {"a", SIZE_MAX};
    FAILS(lacuna_embed(encoder, &null, 1, NULL, other, FEATURES, cut), LACUNA_STATUS_INVALID_INPUT, "texts[0]: found NULL");
    FAILS(lacuna_embed(encoder, invalid, 2, NULL, other, 2 * FEATURES, cut), LACUNA_STATUS_INVALID_INPUT, "texts[1]: found bytes that are not UTF-8 at byte 2");
    FAILS(lacuna_embed(encoder, &endless, 1, NULL, other, FEATURES, cut), LACUNA_STATUS_INVALID_INPUT, "length");
    options = (LacunaEmbedOptions){.size = sizeof options, .normalize = 2};
    FAILS(lacuna_embed(encoder, texts, 1, &options, other, FEATURES, cut), LACUNA_STATUS_INVALID_OPTION, "normalize: found 2");
    options = (LacunaEmbedOptions){.size = sizeof options, .dimensions = 65};
    FAILS(lacuna_embed(encoder, texts, 1, &options, other, FEATURES, cut), LACUNA_STATUS_INVALID_OPTION, "dimensions: found 65");
    options = (LacunaEmbedOptions){.size = sizeof options, .prompt_kind = 9};
    FAILS(lacuna_embed(encoder, texts, 1, &options, other, FEATURES, cut), LACUNA_STATUS_INVALID_OPTION, "prompt_kind: found 9");
    options = (LacunaEmbedOptions){.size = sizeof options, .prompt_kind = LACUNA_PROMPT_NAME};
    FAILS(lacuna_embed(encoder, texts, 1, &options, other, FEATURES, cut), LACUNA_STATUS_INVALID_OPTION, "prompt: found NULL");
    options.prompt = "query";
    FAILS(lacuna_embed(encoder, texts, 1, &options, other, FEATURES, cut), LACUNA_STATUS_INVALID_OPTION, "query");
    options.prompt_kind = LACUNA_PROMPT_NONE;
    FAILS(lacuna_embed(encoder, texts, 1, &options, other, FEATURES, cut), LACUNA_STATUS_INVALID_OPTION, "prompt");
    FAILS(lacuna_tag(encoder, texts, 1, NULL, NULL), LACUNA_STATUS_INVALID_INPUT, "entities: found NULL");
    CHECK(other[0] == 77 && cut[0] == 77);
}

static void classifying(const LacunaEncoder *encoder) {
    CHECK(lacuna_encoder_labels(encoder) == 2);
    CHECK(strcmp(lacuna_encoder_label(encoder, 0), "NEGATIVE") == 0 && strcmp(lacuna_encoder_label(encoder, 1), "POSITIVE") == 0);
    CHECK(lacuna_encoder_label(encoder, 2) == NULL);
    LacunaText texts[] = {lacuna_text("a good cat"), lacuna_text("a bad dog"), lacuna_text("fine fine")};
    float scores[6];
    CHECK(lacuna_classify(encoder, texts, NULL, 3, NULL, scores, 6, NULL) == LACUNA_STATUS_OK);
    CHECK(scores[1] > scores[0] && scores[2] > scores[3] && scores[5] > scores[4]);
    CHECK(fabsf(scores[0] + scores[1] - 1) < 1e-6f);
    float pairs[6];
    size_t cut[3];
    CHECK(lacuna_classify(encoder, texts, texts, 3, NULL, pairs, 6, cut) == LACUNA_STATUS_OK);
    CHECK(pairs[1] > pairs[0] && cut[0] == 0);
    FAILS(lacuna_classify(encoder, texts, NULL, 3, NULL, scores, 5, NULL), LACUNA_STATUS_INVALID_INPUT, "scores: found room for 5");

    LacunaEntities *entities = (LacunaEntities *)&failures;
    FAILS(lacuna_tag(encoder, texts, 1, NULL, &entities), LACUNA_STATUS_INVALID_OPTION, "ForTokenClassification");
    CHECK(entities == NULL);
}

static void ranking(const LacunaEncoder *encoder) {
    LacunaText query = lacuna_text("a cat ?"), passages[] = {lacuna_text("a dog ran"), lacuna_text("a cat cat cat"), lacuna_text("the mat")};
    LacunaRanked ranked[3];
    size_t cut[3];
    CHECK(lacuna_rank(encoder, query, passages, 3, NULL, ranked, 3, cut) == LACUNA_STATUS_OK);
    CHECK(ranked[0].index == 1 && ranked[0].score >= ranked[1].score && ranked[1].logit >= ranked[2].logit);
    FAILS(lacuna_rank(encoder, query, passages, 3, NULL, ranked, 2, cut), LACUNA_STATUS_INVALID_INPUT, "ranked: found room for 2");
    FAILS(lacuna_rank(encoder, lacuna_text(NULL), passages, 3, NULL, ranked, 3, cut), LACUNA_STATUS_INVALID_INPUT, "query: found NULL");
    FAILS(lacuna_rank(encoder, query, NULL, 0, NULL, ranked, 3, cut), LACUNA_STATUS_INVALID_INPUT, "");
}

static void tagging(const LacunaEncoder *encoder) {
    const char *second = "\xe6\x97\xa5\xe6\x9c\xac paris";
    LacunaText texts[] = {lacuna_text("the ada sat ."), lacuna_text(second), lacuna_text("the cat")};
    LacunaEntities *entities;
    CHECK(lacuna_tag(encoder, texts, 3, NULL, &entities) == LACUNA_STATUS_OK);
    size_t count;
    const LacunaEntity *found = lacuna_entities_get(entities, &count);
    CHECK(count == 3);
    CHECK(found[0].text == 0 && found[0].start == 4 && found[0].end == 7 && strcmp(found[0].label, "PER") == 0);
    CHECK(found[1].text == 1 && found[1].start == 0 && found[1].end == 6 && strcmp(found[1].label, "LOC") == 0);
    CHECK(found[2].text == 1 && found[2].start == 7 && found[2].end == 12 && found[2].score > 0.5f);
    CHECK(lacuna_entities_get(entities, NULL) == NULL);
    CHECK(lacuna_entities_get(NULL, &count) == NULL && count == 0);
    lacuna_entities_free(entities);
    lacuna_entities_free(NULL);

    LacunaTagOptions options = {.size = sizeof options, .aggregation = "none"};
    CHECK(lacuna_tag(encoder, texts, 3, &options, &entities) == LACUNA_STATUS_OK);
    found = lacuna_entities_get(entities, &count);
    CHECK(count == 4 && strcmp(found[0].label, "B-PER") == 0);
    lacuna_entities_free(entities);
    options.aggregation = "some";
    FAILS(lacuna_tag(encoder, texts, 3, &options, &entities), LACUNA_STATUS_INVALID_OPTION, "aggregation: found some");
    options.aggregation = NULL;
    options.scheme = "x";
    FAILS(lacuna_tag(encoder, texts, 3, &options, &entities), LACUNA_STATUS_INVALID_OPTION, "scheme: found x");
    options.scheme = NULL;
    options.overlap = 1000; // of a text that needs windows
    char words[512] = "";
    for (size_t i = 0; i < 100; i++) {
        strcat(words, "a ");
    }
    texts[2] = lacuna_text(words);
    FAILS(lacuna_tag(encoder, texts, 3, &options, &entities), LACUNA_STATUS_INVALID_OPTION, "overlap");
    CHECK(entities == NULL);
}

static void answering(const LacunaEncoder *encoder) {
    LacunaText question = lacuna_text("cat ?"), context = lacuna_text("the cat sat on the mat .");
    LacunaAnswers *answers = (LacunaAnswers *)&failures;
    FAILS(lacuna_answer(encoder, NULL, &context, 1, NULL, &answers), LACUNA_STATUS_INVALID_INPUT, "questions: found NULL");
    CHECK(answers == NULL);
    CHECK(lacuna_answer(encoder, &question, &context, 1, NULL, &answers) == LACUNA_STATUS_OK);
    size_t count;
    const LacunaAnswer *found = lacuna_answers_get(answers, &count);
    CHECK(count == 1 && found[0].question == 0 && found[0].is_none == 0 && found[0].start == 12 && found[0].end == 22);
    lacuna_answers_free(answers);
    LacunaAnswerOptions options = {.size = sizeof options, .top_k = 2, .allow_none = 1};
    CHECK(lacuna_answer(encoder, &question, &context, 1, &options, &answers) == LACUNA_STATUS_OK);
    found = lacuna_answers_get(answers, &count);
    CHECK(count == 2);
    lacuna_answers_free(answers);
    // A long context and no bound for the answer take the memory of its windows.
    enum { WORDS = 20000 };
    char *words = malloc(2 * WORDS + 1);
    for (size_t i = 0; i < WORDS; i++) {
        memcpy(words + 2 * i, "a ", 3);
    }
    LacunaText endless = lacuna_text(words);
    options.max_tokens = SIZE_MAX;
    CHECK(lacuna_answer(encoder, &question, &endless, 1, &options, &answers) == LACUNA_STATUS_OK);
    lacuna_answers_free(answers);
    free(words);
    options.reserved = 1;
    FAILS(lacuna_answer(encoder, &question, &context, 1, &options, &answers), LACUNA_STATUS_INVALID_OPTION, "reserved: found 1");
    FAILS(lacuna_answer(encoder, &question, NULL, 1, NULL, &answers), LACUNA_STATUS_INVALID_INPUT, "contexts: found NULL");
    CHECK(answers == NULL);
    lacuna_answers_free(NULL);
}

static void filling(const LacunaEncoder *encoder) {
    LacunaText text = lacuna_text("the [MASK] sat .");
    LacunaFillings *fillings;
    LacunaFillOptions options = {.size = sizeof options, .top_k = 2};
    CHECK(lacuna_fill(encoder, &text, 1, &options, &fillings) == LACUNA_STATUS_OK);
    size_t count;
    const LacunaFilling *found = lacuna_fillings_get(fillings, &count);
    CHECK(count == 2 && strcmp(found[0].token, "cat") == 0 && strcmp(found[1].token, "dog") == 0);
    CHECK(found[0].start == 4 && found[0].end == 10 && found[0].score > found[1].score);
    lacuna_fillings_free(fillings);
    CHECK(lacuna_fill(encoder, &text, 1, NULL, &fillings) == LACUNA_STATUS_OK);
    lacuna_fillings_get(fillings, &count);
    CHECK(count == 5);
    lacuna_fillings_free(fillings);
    LacunaText none = lacuna_text("the cat");
    FAILS(lacuna_fill(encoder, &none, 1, NULL, &fillings), LACUNA_STATUS_INVALID_INPUT, "[MASK]");
    CHECK(fillings == NULL);
    lacuna_fillings_free(NULL);
}

// What a thread uses and finds.
typedef struct {
    const LacunaEncoder *encoder;
    const LacunaCancel *cancel;
    int right;
} Shared;

static void *embed_often(void *data) {
    Shared *shared = data;
    LacunaText texts[] = {lacuna_text("a cat sat"), lacuna_text("a dog ran in paris")};
    float first[128], again[128];
    shared->right = lacuna_embed(shared->encoder, texts, 2, NULL, first, 128, NULL) == LACUNA_STATUS_OK;
    for (int i = 0; i < 50; i++) {
        shared->right &= lacuna_embed(shared->encoder, texts, 2, NULL, again, 128, NULL) == LACUNA_STATUS_OK;
        shared->right &= memcmp(first, again, sizeof first) == 0;
        // Every thread has an error of its own.
        shared->right &= lacuna_embed(shared->encoder, NULL, 1, NULL, again, 128, NULL) == LACUNA_STATUS_INVALID_INPUT;
        shared->right &= strstr(lacuna_last_error(), "texts: found NULL") != NULL;
    }
    return NULL;
}

static void *embed_until_cancelled(void *data) {
    Shared *shared = data;
    LacunaText text = lacuna_text("a cat sat on the mat and the dog ran");
    LacunaEmbedOptions options = {.size = sizeof options, .cancel = shared->cancel};
    float vector[64];
    LacunaStatus status;
    do {
        status = lacuna_embed(shared->encoder, &text, 1, &options, vector, 64, NULL);
    } while (status == LACUNA_STATUS_OK);
    shared->right = status == LACUNA_STATUS_CANCELLED;
    return NULL;
}

static void threads(const LacunaEncoder *encoder) {
    pthread_t handles[4];
    Shared shared[COUNT(handles)];
    for (size_t i = 0; i < COUNT(handles); i++) {
        shared[i] = (Shared){.encoder = encoder};
        CHECK(pthread_create(&handles[i], NULL, embed_often, &shared[i]) == 0);
    }
    for (size_t i = 0; i < COUNT(handles); i++) {
        pthread_join(handles[i], NULL);
        CHECK(shared[i].right);
    }

    LacunaCancel *cancel = lacuna_cancel_new();
    for (size_t i = 0; i < 2; i++) {
        shared[i] = (Shared){.encoder = encoder, .cancel = cancel};
        CHECK(pthread_create(&handles[i], NULL, embed_until_cancelled, &shared[i]) == 0);
    }
    usleep(20000);
    lacuna_cancel_stop(cancel);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(handles[i], NULL);
        CHECK(shared[i].right);
    }
    LacunaText text = lacuna_text("a cat");
    LacunaEmbedOptions options = {.size = sizeof options, .cancel = cancel};
    float vector[64];
    FAILS(lacuna_embed(encoder, &text, 1, &options, vector, 64, NULL), LACUNA_STATUS_CANCELLED, "cancelled");
    lacuna_cancel_reset(cancel);
    CHECK(lacuna_embed(encoder, &text, 1, &options, vector, 64, NULL) == LACUNA_STATUS_OK);
    lacuna_cancel_free(cancel);
}

static void forking(const LacunaEncoder *encoder, const char *path) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    fflush(stderr);
    pid_t child = fork();
    if (child == 0) {
        LacunaText text = lacuna_text("a cat");
        float vector[64];
        LacunaStatus status = lacuna_embed(encoder, &text, 1, NULL, vector, 64, NULL);
        char right = status == LACUNA_STATUS_MACHINE && strstr(lacuna_last_error(), "forked") != NULL;
        // The child opens its own, on threads of its own.
        LacunaEncoder *own;
        LacunaOpenOptions options = {.size = sizeof options};
        right &= lacuna_encoder_open(path, &options, &own) == LACUNA_STATUS_MACHINE && own == NULL;
        options.threads = 1;
        right &= lacuna_encoder_open(path, &options, &own) == LACUNA_STATUS_OK;
        right &= lacuna_embed(own, &text, 1, NULL, vector, 64, NULL) == LACUNA_STATUS_OK;
        lacuna_encoder_free(own);
        _exit(write(ends[1], &right, 1) == 1 ? 0 : 1);
    }
    // Not by the status of the child: under valgrind that counts what the threads of the parent hold as lost.
    close(ends[1]);
    char right = 0;
    CHECK(child > 0 && read(ends[0], &right, 1) == 1 && right == 1);
    CHECK(waitpid(child, NULL, 0) == child);
    close(ends[0]);
}

// A function of atexit: the text of the last error is gone by then, and calls still do not end the process.
static const LacunaEncoder *late = NULL;

static void call_late(void) {
    float vector[64];
    LacunaStatus status = lacuna_embed(late, NULL, 1, NULL, vector, 64, NULL);
    if (status != LACUNA_STATUS_INVALID_INPUT || lacuna_last_error() == NULL) {
        _exit(EXIT_FAILURE);
    }
}

static void count_warnings(uint32_t level, const char *target, const char *text, void *data) {
    // A call from here would wait for itself.
    if (lacuna_set_log(NULL, NULL) != LACUNA_STATUS_INVALID_INPUT) {
        return;
    }
    if (level == LACUNA_LOG_WARNING && strncmp(target, "lacuna", 6) == 0 && strstr(text, "truncated") != NULL) {
        __atomic_add_fetch((int *)data, 1, __ATOMIC_RELAXED);
    }
}

static void logging(const LacunaEncoder *encoder) {
    int warnings = 0;
    char words[512] = "";
    for (size_t i = 0; i < 100; i++) {
        strcat(words, "a ");
    }
    LacunaText text = lacuna_text(words);
    float vector[64];
    CHECK(lacuna_set_log(count_warnings, &warnings) == LACUNA_STATUS_OK);
    CHECK(lacuna_embed(encoder, &text, 1, NULL, vector, 64, NULL) == LACUNA_STATUS_OK);
    CHECK(warnings == 1);
    CHECK(lacuna_set_log(NULL, NULL) == LACUNA_STATUS_OK);
    CHECK(lacuna_embed(encoder, &text, 1, NULL, vector, 64, NULL) == LACUNA_STATUS_OK);
    CHECK(warnings == 1);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: contract CLASSIFIER RERANKER TAGGER ANSWERER FILLER\n");
        return 2;
    }
    CHECK(strcmp(lacuna_last_error(), "") == 0);
    CHECK(strcmp(lacuna_status_name(LACUNA_STATUS_INVALID_FILE), "invalid file") == 0);
    CHECK(strcmp(lacuna_status_name(LACUNA_STATUS_INTERNAL), "internal") == 0);
    CHECK(strcmp(lacuna_status_name(-1), "unknown status") == 0 && strcmp(lacuna_status_name(11), "unknown status") == 0);
    CHECK(strlen(lacuna_version()) >= 5);
    opening(argv[1]);
    LacunaEncoder *encoder = open_model(argv[1]);
    embedding(encoder);
    classifying(encoder);
    threads(encoder);
    forking(encoder, argv[1]);
    logging(encoder);
    late = encoder; // lives until the end
    atexit(call_late);
    void (*const tests[])(const LacunaEncoder *) = {ranking, tagging, answering, filling};
    for (size_t i = 0; i < COUNT(tests); i++) {
        encoder = open_model(argv[i + 2]);
        tests[i](encoder);
        lacuna_encoder_free(encoder);
    }
    if (failures > 0) {
        fprintf(stderr, "%d checks failed\n", failures);
        return EXIT_FAILURE;
    }
    puts("all checks passed");
    return EXIT_SUCCESS;
}
