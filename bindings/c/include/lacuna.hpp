// Lacuna for C++17: handles that free themselves, and errors as exceptions. It needs lacuna.h and nothing else.
//
// An Encoder may be shared between threads. The other objects belong to one thread at a time, but for Cancel, which any thread may use.

#ifndef LACUNA_HPP
#define LACUNA_HPP

#include <lacuna.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace lacuna {

// What failed, as `what()`, and its kind.
class Error : public std::runtime_error {
public:
    Error(LacunaStatus status, const std::string &text) : std::runtime_error(text), status_(status) {}

    LacunaStatus status() const noexcept { return status_; }

private:
    LacunaStatus status_;
};

namespace detail {

// Throws unless a call succeeded.
inline void check(LacunaStatus status) {
    if (status != LACUNA_STATUS_OK) {
        throw Error(status, lacuna_last_error());
    }
}

// Options with their size, and defaults for the rest.
template <typename T>
T options() {
    T options{};
    options.size = sizeof options;
    return options;
}

inline LacunaText text(std::string_view text) { return LacunaText{text.data(), text.size()}; }

// A string that the library reads to its first NUL, which must be its end.
inline const char *string(const char *name, const std::string &text) {
    if (text.find('\0') != std::string::npos) {
        throw Error(LACUNA_STATUS_INVALID_INPUT, std::string(name) + ": found a NUL in it; expected a string without");
    }
    return text.c_str();
}

template <auto Free>
struct Freed {
    template <typename T>
    void operator()(T *handle) const noexcept {
        Free(handle);
    }
};

template <typename T, auto Free>
using Handle = std::unique_ptr<T, Freed<Free>>;

} // namespace detail

// Texts for one call: `{"a", "b"}`, or anything whose elements are strings, such as a std::vector<std::string>. They are not copied.
class Texts {
public:
    Texts() = default;

    Texts(std::initializer_list<std::string_view> texts) { add(texts); }

    template <typename All, typename = std::enable_if_t<std::is_convertible_v<decltype(*std::begin(std::declval<const All &>())), std::string_view>>>
    Texts(const All &texts) {
        add(texts);
    }

    const LacunaText *data() const noexcept { return texts_.data(); }
    std::size_t size() const noexcept { return texts_.size(); }

private:
    template <typename All>
    void add(const All &texts) {
        for (const auto &text : texts) {
            texts_.push_back(detail::text(text));
        }
    }

    std::vector<LacunaText> texts_;
};

// Stops the calls that it is given to, from any thread.
class Cancel {
public:
    Cancel() : cancel_(lacuna_cancel_new()) {}

    // Ends running calls at their next encoder layer, and later ones at once: they throw LACUNA_STATUS_CANCELLED.
    void stop() const noexcept { lacuna_cancel_stop(cancel_.get()); }

    // Lets calls run again.
    void reset() const noexcept { lacuna_cancel_reset(cancel_.get()); }

    const LacunaCancel *get() const noexcept { return cancel_.get(); }

private:
    detail::Handle<LacunaCancel, lacuna_cancel_free> cancel_;
};

// One vector per text, row after row.
struct Vectors {
    std::size_t features = 0;
    std::vector<float> values;
    // For each text, the tokens that were left out because the text is too long.
    std::vector<std::size_t> cut;

    std::size_t size() const noexcept { return features == 0 ? 0 : values.size() / features; }
    const float *operator[](std::size_t row) const noexcept { return values.data() + row * features; }
};

// Passages, the best first.
struct Ranking {
    std::vector<LacunaRanked> passages;
    // For each passage in the order given, the tokens that were left out.
    std::vector<std::size_t> cut;
};

// One score per text and label, row after row.
struct Scores {
    std::size_t labels = 0;
    std::vector<float> values;
    std::vector<std::size_t> cut;

    const float *operator[](std::size_t row) const noexcept { return values.data() + row * labels; }
};

// A span of a text with a label. Offsets are bytes.
struct Entity {
    std::size_t text;
    std::size_t start;
    std::size_t end;
    std::string label;
    float score;
};

// A candidate for a mask. Offsets are bytes.
struct Filling {
    std::size_t text;
    std::size_t start;
    std::size_t end;
    std::string token;
    std::uint32_t id;
    float score;
    float logit;
};

// Options of Encoder::embed.
struct EmbedOptions {
    // One of LACUNA_PROMPT_...
    std::uint32_t prompt_kind = LACUNA_PROMPT_DEFAULT;
    // The name or the text of the prompt.
    std::string prompt;
    bool normalize = false;
    // The first features to keep; 0 for all.
    std::size_t dimensions = 0;
    const Cancel *cancel = nullptr;
};

// Options of Encoder::tag. Empty names are the defaults.
struct TagOptions {
    std::string aggregation;
    std::string scheme;
    std::size_t overlap = 0;
    const Cancel *cancel = nullptr;
};

// Options of Encoder::answer. Zero is the default.
struct AnswerOptions {
    std::size_t top_k = 0;
    std::size_t max_tokens = 0;
    std::size_t overlap = 0;
    bool allow_none = false;
    const Cancel *cancel = nullptr;
};

// A compiled encoder, with the head of its model.
class Encoder {
public:
    // Opens a file of `lacuna pack` or a model directory. `threads` are those of each call; 0 for those of the process. An empty tier is the best of
    // this machine.
    explicit Encoder(const std::string &path, std::size_t threads = 0, const std::string &tier = "") {
        auto options = detail::options<LacunaOpenOptions>();
        options.threads = threads;
        options.tier = tier.empty() ? nullptr : detail::string("tier", tier);
        LacunaEncoder *encoder = nullptr;
        detail::check(lacuna_encoder_open(detail::string("path", path), &options, &encoder));
        encoder_.reset(encoder);
    }

    std::size_t features() const noexcept { return lacuna_encoder_features(encoder_.get()); }
    std::size_t max_tokens() const noexcept { return lacuna_encoder_max_tokens(encoder_.get()); }
    // Empty after a move.
    std::string report() const {
        const char *report = lacuna_encoder_report(encoder_.get());
        return report == nullptr ? "" : report;
    }
    const LacunaEncoder *get() const noexcept { return encoder_.get(); }

    // The labels of the head; none without a head.
    std::vector<std::string> labels() const {
        std::vector<std::string> labels;
        for (std::size_t i = 0; i < lacuna_encoder_labels(encoder_.get()); i++) {
            labels.emplace_back(lacuna_encoder_label(encoder_.get(), i));
        }
        return labels;
    }

    // One vector per text.
    Vectors embed(const Texts &texts, const EmbedOptions &given = {}) const {
        if (given.dimensions > features()) {
            throw Error(LACUNA_STATUS_INVALID_OPTION, "dimensions: found " + std::to_string(given.dimensions) + "; expected at most " +
                                                          std::to_string(features()));
        }
        auto options = detail::options<LacunaEmbedOptions>();
        options.cancel = cancel(given.cancel);
        options.prompt_kind = given.prompt_kind;
        bool is_given = given.prompt_kind == LACUNA_PROMPT_NAME || given.prompt_kind == LACUNA_PROMPT_TEXT || !given.prompt.empty();
        options.prompt = is_given ? detail::string("prompt", given.prompt) : nullptr;
        options.normalize = given.normalize;
        options.dimensions = given.dimensions;
        Vectors vectors;
        vectors.features = given.dimensions == 0 ? features() : given.dimensions;
        vectors.values.resize(texts.size() * vectors.features);
        vectors.cut.resize(texts.size());
        detail::check(lacuna_embed(get(), texts.data(), texts.size(), &options, vectors.values.data(), vectors.values.size(), vectors.cut.data()));
        return vectors;
    }

    // The passages of a query, the best first.
    Ranking rank(std::string_view query, const Texts &passages, const Cancel *stop = nullptr) const {
        auto options = detail::options<LacunaCallOptions>();
        options.cancel = cancel(stop);
        Ranking ranking;
        ranking.passages.resize(passages.size());
        ranking.cut.resize(passages.size());
        detail::check(lacuna_rank(get(), detail::text(query), passages.data(), passages.size(), &options, ranking.passages.data(),
                                  ranking.passages.size(), ranking.cut.data()));
        return ranking;
    }

    // One score per text and label, in the order of labels().
    Scores classify(const Texts &texts, const Cancel *stop = nullptr) const {
        return scores(texts, nullptr, stop);
    }

    // The same for pairs of texts: as many second texts as first ones.
    Scores classify_pairs(const Texts &texts, const Texts &seconds, const Cancel *stop = nullptr) const {
        same_size(texts, seconds, "seconds");
        return scores(texts, seconds.data(), stop);
    }

    // The labelled spans of every text.
    std::vector<Entity> tag(const Texts &texts, const TagOptions &given = {}) const {
        auto options = detail::options<LacunaTagOptions>();
        options.cancel = cancel(given.cancel);
        options.aggregation = given.aggregation.empty() ? nullptr : detail::string("aggregation", given.aggregation);
        options.scheme = given.scheme.empty() ? nullptr : detail::string("scheme", given.scheme);
        options.overlap = given.overlap;
        LacunaEntities *found = nullptr;
        detail::check(lacuna_tag(get(), texts.data(), texts.size(), &options, &found));
        detail::Handle<LacunaEntities, lacuna_entities_free> owner(found);
        std::size_t count = 0;
        const LacunaEntity *entity = lacuna_entities_get(found, &count);
        std::vector<Entity> entities;
        entities.reserve(count);
        for (std::size_t i = 0; i < count; i++, entity++) {
            entities.push_back({entity->text, entity->start, entity->end, entity->label, entity->score});
        }
        return entities;
    }

    // Answers to every question in the context of the same index.
    std::vector<LacunaAnswer> answer(const Texts &questions, const Texts &contexts, const AnswerOptions &given = {}) const {
        same_size(questions, contexts, "contexts");
        auto options = detail::options<LacunaAnswerOptions>();
        options.cancel = cancel(given.cancel);
        options.top_k = given.top_k;
        options.max_tokens = given.max_tokens;
        options.overlap = given.overlap;
        options.allow_none = given.allow_none;
        LacunaAnswers *found = nullptr;
        detail::check(lacuna_answer(get(), questions.data(), contexts.data(), questions.size(), &options, &found));
        detail::Handle<LacunaAnswers, lacuna_answers_free> owner(found);
        std::size_t count = 0;
        const LacunaAnswer *answers = lacuna_answers_get(found, &count);
        return std::vector<LacunaAnswer>(answers, answers + count);
    }

    // Candidates for every mask of every text; 5 for each unless `top_k` says another number.
    std::vector<Filling> fill(const Texts &texts, std::size_t top_k = 0, const Cancel *stop = nullptr) const {
        auto options = detail::options<LacunaFillOptions>();
        options.cancel = cancel(stop);
        options.top_k = top_k;
        LacunaFillings *found = nullptr;
        detail::check(lacuna_fill(get(), texts.data(), texts.size(), &options, &found));
        detail::Handle<LacunaFillings, lacuna_fillings_free> owner(found);
        std::size_t count = 0;
        const LacunaFilling *filling = lacuna_fillings_get(found, &count);
        std::vector<Filling> fillings;
        fillings.reserve(count);
        for (std::size_t i = 0; i < count; i++, filling++) {
            fillings.push_back({filling->text, filling->start, filling->end, filling->token, filling->id, filling->score, filling->logit});
        }
        return fillings;
    }

private:
    static const LacunaCancel *cancel(const Cancel *cancel) noexcept { return cancel == nullptr ? nullptr : cancel->get(); }

    static void same_size(const Texts &first, const Texts &second, const char *name) {
        if (first.size() != second.size()) {
            throw Error(LACUNA_STATUS_INVALID_INPUT, std::string(name) + ": found " + std::to_string(second.size()) + " texts; expected " +
                                                         std::to_string(first.size()));
        }
    }

    Scores scores(const Texts &texts, const LacunaText *seconds, const Cancel *stop) const {
        auto options = detail::options<LacunaCallOptions>();
        options.cancel = cancel(stop);
        Scores scores;
        scores.labels = lacuna_encoder_labels(get());
        scores.values.resize(texts.size() * scores.labels);
        scores.cut.resize(texts.size());
        detail::check(lacuna_classify(get(), texts.data(), seconds, texts.size(), &options, scores.values.data(), scores.values.size(),
                                      scores.cut.data()));
        return scores;
    }

    detail::Handle<LacunaEncoder, lacuna_encoder_free> encoder_;
};

} // namespace lacuna

#endif // LACUNA_HPP
