// What lacuna.hpp promises: the results of the C interface, errors as exceptions, handles that move and free themselves.
//
//     wrapper CLASSIFIER RERANKER TAGGER ANSWERER FILLER
//
// The models are those of ../python/tests/tiny.py, whose answers are known.

#include <cmath>
#include <iostream>
#include <lacuna.hpp>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

static_assert(std::is_nothrow_move_constructible_v<lacuna::Encoder> && !std::is_copy_constructible_v<lacuna::Encoder>);
static_assert(std::is_nothrow_move_assignable_v<lacuna::Cancel> && !std::is_copy_assignable_v<lacuna::Cancel>);

namespace {

int failures = 0;

void check(bool condition, const char *what, int line) {
    if (!condition) {
        std::cerr << "line " << line << ": " << what << '\n';
        failures++;
    }
}

#define CHECK(condition) check((condition), #condition, __LINE__)

// The call throws an error with this status.
template <typename Call>
bool throws(LacunaStatus status, Call call) {
    try {
        call();
    } catch (const lacuna::Error &error) {
        return error.status() == status && error.what()[0] != '\0';
    }
    return false;
}

void embedding(const lacuna::Encoder &encoder) {
    auto both = encoder.embed({"a cat", "the dog ran"});
    CHECK(both.features == 64 && both.size() == 2 && both.cut == std::vector<std::size_t>({0, 0}));
    lacuna::EmbedOptions options;
    options.prompt_kind = LACUNA_PROMPT_TEXT;
    options.prompt = "a ";
    CHECK(std::vector<float>(both[0], both[0] + 64) == encoder.embed({"cat"}, options).values);
    options.prompt.clear(); // an empty prompt is none
    CHECK(std::vector<float>(both[0], both[0] + 64) == encoder.embed({"a cat"}, options).values);
    options = {};
    options.normalize = true;
    options.dimensions = 3;
    auto few = encoder.embed({"a cat", "the dog ran"}, options);
    CHECK(few.features == 3 && few.size() == 2 && std::abs(std::hypot(few[1][0], few[1][1], few[1][2]) - 1) < 1e-6);
    CHECK(throws(LACUNA_STATUS_INVALID_INPUT, [&] { encoder.embed({}); }));
    CHECK(throws(LACUNA_STATUS_INVALID_INPUT, [&] { encoder.embed({"\xff"}); }));
    CHECK(throws(LACUNA_STATUS_INVALID_INPUT, [] { lacuna::Encoder(std::string("a\0b", 3)); }));
    std::vector<std::string> strings{"a cat", "the dog ran"};
    CHECK(encoder.embed(strings).values == both.values);
    options.dimensions = static_cast<std::size_t>(-1);
    CHECK(throws(LACUNA_STATUS_INVALID_OPTION, [&] { encoder.embed({"a"}, options); }));
    options = {};
    options.prompt = "a prompt without a kind";
    CHECK(throws(LACUNA_STATUS_INVALID_OPTION, [&] { encoder.embed({"a"}, options); }));

    lacuna::Cancel cancel;
    options = {};
    options.cancel = &cancel;
    bool is_cancelled = false;
    std::thread worker([&] {
        is_cancelled = throws(LACUNA_STATUS_CANCELLED, [&] {
            while (true) {
                encoder.embed({"a cat sat on the mat"}, options);
            }
        });
    });
    cancel.stop();
    worker.join();
    CHECK(is_cancelled);
    cancel.reset();
    CHECK(encoder.embed({"a cat"}, options).size() == 1);
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 6) {
        std::cerr << "usage: wrapper CLASSIFIER RERANKER TAGGER ANSWERER FILLER\n";
        return 2;
    }
    CHECK(throws(LACUNA_STATUS_NOT_FOUND, [] { lacuna::Encoder("no/such/model"); }));
    CHECK(throws(LACUNA_STATUS_INVALID_OPTION, [&] { lacuna::Encoder(argv[1], 1, "avx9"); }));
    lacuna::Encoder first(argv[1], 1);
    embedding(first);
    lacuna::Encoder moved = std::move(first);
    CHECK(first.report().empty() && first.features() == 0 && throws(LACUNA_STATUS_INVALID_INPUT, [&] { first.embed({"a"}); }));
    CHECK(moved.labels() == std::vector<std::string>({"NEGATIVE", "POSITIVE"}));
    CHECK(moved.features() == 64 && moved.max_tokens() == 64 && !moved.report().empty());
    auto scores = moved.classify({"a good cat", "a bad dog"});
    CHECK(scores.labels == 2 && scores[0][1] > scores[0][0] && scores[1][0] > scores[1][1]);
    CHECK(moved.classify_pairs({"a good cat"}, {"fine"}).values.size() == 2);
    CHECK(throws(LACUNA_STATUS_INVALID_INPUT, [&] { moved.classify_pairs({"a", "b"}, {"c"}); }));
    CHECK(throws(LACUNA_STATUS_INVALID_INPUT, [&] { moved.classify_pairs({"a", "b"}, {}); }));
    CHECK(throws(LACUNA_STATUS_INVALID_INPUT, [&] { moved.classify_pairs({}, {}); }));
    CHECK(throws(LACUNA_STATUS_INVALID_OPTION, [&] { moved.tag({"a"}); }));
    moved = lacuna::Encoder(argv[2]);
    auto ranking = moved.rank("a cat ?", {"a dog ran", "a cat cat cat"});
    CHECK(ranking.passages.size() == 2 && ranking.passages[0].index == 1 && ranking.cut.size() == 2);
    auto entities = lacuna::Encoder(argv[3]).tag({"the cat", "the ada sat ."});
    CHECK(entities.size() == 1 && entities[0].label == "PER" && entities[0].text == 1 && entities[0].start == 4 && entities[0].end == 7);
    lacuna::TagOptions options;
    options.aggregation = "none";
    CHECK(lacuna::Encoder(argv[3]).tag({"ada"}, options).at(0).label == "B-PER");
    lacuna::Encoder answerer(argv[4]);
    auto answers = answerer.answer({"cat ?"}, {"the cat sat on the mat ."});
    CHECK(answers.size() == 1 && answers[0].start == 12 && answers[0].end == 22);
    CHECK(throws(LACUNA_STATUS_INVALID_INPUT, [&] { answerer.answer({"cat ?"}, {}); }));
    auto fillings = lacuna::Encoder(argv[5]).fill({"the [MASK] sat ."}, 2);
    CHECK(fillings.size() == 2 && fillings[0].token == "cat" && fillings[1].token == "dog" && fillings[0].start == 4);
    if (failures > 0) {
        std::cerr << failures << " checks failed\n";
        return 1;
    }
    std::cout << "all checks passed\n";
    return 0;
}
