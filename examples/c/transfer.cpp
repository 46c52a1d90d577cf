// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Lets a bus master copy one buffer to another, and compares: transfer.c in C++.
//
//   transfer++               on /dev/fpgamem0, or what FPGAMEM_DEVICE names, with the ZDMA
//   transfer++ --emulated    without a board
//
// Exits with 0 if the copy is right, 1 if it is not, 2 if something failed.

#include <algorithm>
#include <iostream>
#include <memory>
#include <numeric>
#include <string_view>

#include <libfpgamem.hpp>

#include "zdma.h"

namespace {

constexpr std::uint32_t BYTES = 100000;

bool transfer(const fpgamem::Device &device) {
	using fpgamem::Direction;

	zdma zdma{};
	fpgamem::check(zdma_open, &zdma, device.get());
	const std::unique_ptr<struct zdma, decltype(&zdma_close)> channel(&zdma, zdma_close);

	fpgamem::Buffer source = device.alloc(BYTES);
	std::iota(source.data(), source.data() + BYTES, static_cast<unsigned char>(7));

	// The names of the CPU's buffers are gone with this: neither has bytes now.
	fpgamem::DeviceBuffer from = std::move(source).hand_over(Direction::to_device);
	fpgamem::DeviceBuffer to = device.alloc(BYTES).hand_over(Direction::from_device);
	fpgamem::check(zdma_copy, &zdma, to.device_addr(), from.device_addr(), BYTES);

	// The promise: the channel has reported that it is done with both.
	const fpgamem::Buffer received = std::move(to).take_back_unsafe();
	const fpgamem::Buffer sent = std::move(from).take_back_unsafe();
	return std::equal(sent.data(), sent.data() + BYTES, received.data());
}

} // namespace

int main(int argc, char **argv) try {
	const bool emulated = argc > 1 && std::string_view(argv[1]) == "--emulated";
	const fpgamem::Device device =
		emulated ? fpgamem::Device::emulated() : fpgamem::Device::open();
	const bool same = transfer(device);
	std::cout << (same ? "they are the same" : "they differ") << '\n';
	return same ? 0 : 1;
} catch (const std::exception &error) {
	std::cerr << "transfer++: " << error.what() << '\n';
	return 2;
}
