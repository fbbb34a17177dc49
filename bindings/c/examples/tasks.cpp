// Embeds, ranks and tags texts, as tasks.c does, with handles that free themselves.
//
//     tasks++ embed MODEL TEXT...            how similar the texts are to the first one
//     tasks++ rank MODEL QUERY PASSAGE...    the passages, the best first
//     tasks++ tag MODEL TEXT...              the labelled spans

#include <cmath>
#include <cstdio>
#include <exception>
#include <iomanip>
#include <iostream>
#include <lacuna.hpp>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Arguments = std::vector<std::string_view>;

void say_cut(const std::vector<std::size_t> &cut) {
    for (std::size_t i = 0; i < cut.size(); i++) {
        if (cut[i] > 0) {
            std::cerr << "warning: text " << i << " is too long: " << cut[i] << " tokens were left out\n";
        }
    }
}

void embed(const lacuna::Encoder &encoder, const Arguments &texts) {
    lacuna::EmbedOptions options;
    options.normalize = true;
    auto vectors = encoder.embed(texts, options);
    say_cut(vectors.cut);
    for (std::size_t i = 0; i < vectors.size(); i++) {
        double cosine = std::inner_product(vectors[0], vectors[0] + vectors.features, vectors[i], 0.0);
        std::cout << cosine << ' ' << texts[i] << '\n';
    }
}

void rank(const lacuna::Encoder &encoder, const Arguments &texts) {
    Arguments passages(texts.begin() + 1, texts.end());
    auto ranking = encoder.rank(texts[0], passages);
    say_cut(ranking.cut);
    for (const auto &found : ranking.passages) {
        std::cout << found.score << ' ' << passages[found.index] << '\n';
    }
}

void tag(const lacuna::Encoder &encoder, const Arguments &texts) {
    for (const auto &entity : encoder.tag(texts)) {
        auto span = texts[entity.text].substr(entity.start, entity.end - entity.start);
        std::cout << entity.text << ' ' << entity.label << ' ' << entity.score << ' ' << span << '\n';
    }
}

} // namespace

int main(int argc, char **argv) {
    std::string_view task = argc > 1 ? argv[1] : "";
    if (argc < 4 || (task != "embed" && task != "rank" && task != "tag")) {
        std::cerr << "usage: tasks++ embed|rank|tag MODEL TEXT...\n";
        return 2;
    }
    std::cout << std::fixed << std::setprecision(3);
    try {
        lacuna::Encoder encoder(argv[2]);
        Arguments texts(argv + 3, argv + argc);
        if (task == "embed") {
            embed(encoder, texts);
        } else if (task == "rank") {
            rank(encoder, texts);
        } else {
            tag(encoder, texts);
        }
    } catch (const lacuna::Error &error) {
        std::cerr << "error (" << lacuna_status_name(static_cast<int>(error.status())) << "): " << error.what() << '\n';
        return 1;
    } catch (const std::exception &error) {
        std::cerr << "error: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
