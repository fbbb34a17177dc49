// Embeds, ranks and tags texts.
//
//     tasks embed MODEL TEXT...            how similar the texts are to the first one
//     tasks rank MODEL QUERY PASSAGE...    the passages, the best first
//     tasks tag MODEL TEXT...              the labelled spans
//
// MODEL is a file of `lacuna pack`, or a model directory.

#include <lacuna.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Says what failed, and gives an exit status.
static int failed(LacunaStatus status) {
    fprintf(stderr, "error (%s): %s\n", lacuna_status_name((int32_t)status), lacuna_last_error());
    return EXIT_FAILURE;
}

// Says which texts were too long for the model.
static void say_cut(const size_t *cut, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (cut[i] > 0) {
            fprintf(stderr, "warning: text %zu is too long: %zu tokens were left out\n", i, cut[i]);
        }
    }
}

static double cosine(const float *a, const float *b, size_t features) {
    double product = 0, a_squares = 0, b_squares = 0;
    for (size_t i = 0; i < features; i++) {
        product += (double)a[i] * b[i];
        a_squares += (double)a[i] * a[i];
        b_squares += (double)b[i] * b[i];
    }
    return product / sqrt(a_squares * b_squares);
}

static int embed(const LacunaEncoder *encoder, const LacunaText *texts, size_t count) {
    size_t features = lacuna_encoder_features(encoder);
    float *vectors = malloc(count * features * sizeof *vectors);
    size_t *cut = malloc(count * sizeof *cut);
    int result = EXIT_FAILURE;
    if (vectors == NULL || cut == NULL) {
        fprintf(stderr, "error: no memory for %zu vectors\n", count);
    } else {
        LacunaStatus status = lacuna_embed(encoder, texts, count, NULL, vectors, count * features, cut);
        if (status != LACUNA_STATUS_OK) {
            result = failed(status);
        } else {
            say_cut(cut, count);
            for (size_t i = 0; i < count; i++) {
                printf("%.3f %s\n", cosine(vectors, vectors + i * features, features), texts[i].data);
            }
            result = EXIT_SUCCESS;
        }
    }
    free(vectors);
    free(cut);
    return result;
}

static int rank(const LacunaEncoder *encoder, LacunaText query, const LacunaText *passages, size_t count) {
    LacunaRanked *ranked = malloc((count + 1) * sizeof *ranked); // malloc(0) may be NULL
    size_t *cut = malloc((count + 1) * sizeof *cut);
    int result = EXIT_FAILURE;
    if (ranked == NULL || cut == NULL) {
        fprintf(stderr, "error: no memory for %zu passages\n", count);
    } else {
        LacunaStatus status = lacuna_rank(encoder, query, passages, count, NULL, ranked, count, cut);
        if (status != LACUNA_STATUS_OK) {
            result = failed(status);
        } else {
            say_cut(cut, count);
            for (size_t i = 0; i < count; i++) {
                printf("%.3f %s\n", (double)ranked[i].score, passages[ranked[i].index].data);
            }
            result = EXIT_SUCCESS;
        }
    }
    free(ranked);
    free(cut);
    return result;
}

static int tag(const LacunaEncoder *encoder, const LacunaText *texts, size_t count) {
    LacunaTagOptions options = {.size = sizeof options, .aggregation = "simple"};
    LacunaEntities *entities;
    LacunaStatus status = lacuna_tag(encoder, texts, count, &options, &entities);
    if (status != LACUNA_STATUS_OK) {
        return failed(status);
    }
    size_t found;
    const LacunaEntity *entity = lacuna_entities_get(entities, &found);
    for (size_t i = 0; i < found; i++, entity++) {
        const char *start = texts[entity->text].data + entity->start;
        printf("%zu %s %.3f %.*s\n", entity->text, entity->label, (double)entity->score, (int)(entity->end - entity->start), start);
    }
    lacuna_entities_free(entities);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    const char *task = argc > 1 ? argv[1] : "";
    int is_embed = strcmp(task, "embed") == 0, is_rank = strcmp(task, "rank") == 0, is_tag = strcmp(task, "tag") == 0;
    if (argc < 4 || !(is_embed || is_rank || is_tag)) {
        fprintf(stderr, "usage: %s embed|rank|tag MODEL TEXT...\n", argc > 0 ? argv[0] : "tasks");
        return 2;
    }
    LacunaEncoder *encoder;
    LacunaStatus status = lacuna_encoder_open(argv[2], NULL, &encoder);
    if (status != LACUNA_STATUS_OK) {
        return failed(status);
    }
    size_t count = (size_t)argc - 3;
    LacunaText *texts = malloc(count * sizeof *texts);
    int result = EXIT_FAILURE;
    if (texts == NULL) {
        fprintf(stderr, "error: no memory for %zu texts\n", count);
    } else {
        for (size_t i = 0; i < count; i++) {
            texts[i] = lacuna_text(argv[i + 3]);
        }
        result = is_embed  ? embed(encoder, texts, count)
                 : is_rank ? rank(encoder, texts[0], texts + 1, count - 1)
                           : tag(encoder, texts, count);
    }
    free(texts);
    lacuna_encoder_free(encoder);
    return result;
}
