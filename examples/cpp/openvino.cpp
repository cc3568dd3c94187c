// Make images of seeds with OpenVINO: `openvino GRAPH.onnx FIRST LAST [CLASS]` writes seedNNNN.ppm, grey ones as .pgm.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <openvino/openvino.hpp>

#include "latent.hpp"

static void write(std::uint32_t seed, const ov::Tensor& images) {
    const ov::Shape shape = images.get_shape();  // [1, H, W, C]
    const std::size_t channels = shape[3];
    char name[32];
    std::snprintf(name, sizeof name, "seed%04u.%s", seed, channels == 1 ? "pgm" : "ppm");
    std::ofstream file(name, std::ios::binary);
    file << (channels == 1 ? "P5" : "P6") << "\n" << shape[2] << " " << shape[1] << "\n255\n";
    const auto* levels = images.data<std::uint8_t>();
    for (std::size_t pixel = 0; pixel < shape[1] * shape[2]; ++pixel)  // PPM has no place for alpha
        file.write(reinterpret_cast<const char*>(levels + pixel * channels), channels == 1 ? 1 : 3);
}

int main(int count, char** words) try {
    if (count < 4 || count > 5) {
        std::fprintf(stderr, "usage: %s GRAPH.onnx FIRST LAST [CLASS]\n", words[0]);
        return 2;
    }
    ov::Core core;
    // FP32: by itself, OpenVINO computes in BF16 where the CPU has it
    auto model = core.compile_model(words[1], "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = model.create_infer_request();
    const auto latent = static_cast<std::size_t>(model.input("z").get_partial_shape()[1].get_length());
    ov::Tensor label(ov::element::i64, {1});  // the number of the class, of a conditional generator
    label.data<std::int64_t>()[0] = count == 5 ? std::strtoll(words[4], nullptr, 10) : 0;
    if (model.inputs().size() > 1) request.set_tensor("label", label);
    const auto last = static_cast<std::uint32_t>(std::strtoul(words[3], nullptr, 10));
    for (auto seed = static_cast<std::uint32_t>(std::strtoul(words[2], nullptr, 10)); seed <= last; ++seed) {
        std::vector<float> z = latent_of(seed, latent);
        request.set_tensor("z", ov::Tensor(ov::element::f32, {1, latent}, z.data()));
        request.infer();
        write(seed, request.get_tensor("images"));
    }
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
