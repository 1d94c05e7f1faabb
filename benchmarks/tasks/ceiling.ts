// The most that 128-bit WebAssembly arithmetic reaches on this machine.

/**
 * (module
 *   (memory 1)
 *   (func (export "run") (param $n i32) (result f32)
 *     (local $b0 v128) ... $b3, $a0 ... $a7, $t0, $t1
 *     b_j = f32x4.splat(f32.convert_i32_s(n)) for j = 0 ... 3
 *     loop
 *       t0 = v128.load(n & 1023); t1 = v128.load offset=16 (n & 1023)
 *       a_j = a_j + t_(j >> 2) * b_(j & 3) for j = 0 ... 7
 *       br_if n = n - 1
 *     end
 *     the sum of lane 0 of all a_j))
 * The products change from step to step, so none can be moved out of the loop; fourteen registers.
 */
function ceilingModule(): Uint8Array<ArrayBuffer> {
  const N = 0;
  const b = (j: number) => 1 + j;
  const a = (j: number) => 5 + j;
  const t = (j: number) => 13 + j;
  const get = (local: number) => [0x20, local];
  const set = (local: number) => [0x21, local];
  const eight = Array.from({ length: 8 }, (_, j) => j);
  const address = [...get(N), 0x41, 0xff, 0x07, 0x71]; // n & 1023
  const load = (offset: number) => [...address, 0xfd, 0x00, 4, offset];
  const MUL = [0xfd, 0xe6, 0x01];
  const ADD = [0xfd, 0xe4, 0x01];
  const code = [
    ...[1, 14, 0x7b], // locals: fourteen v128
    ...eight.slice(0, 4).flatMap((j) => [...get(N), 0xb2, 0xfd, 0x13, ...set(b(j))]),
    ...[0x03, 0x40], // loop
    ...[...load(0), ...set(t(0)), ...load(16), ...set(t(1))],
    ...eight.flatMap((j) => [
      ...[...get(a(j)), ...get(t(j >> 2)), ...get(b(j & 3))],
      ...[...MUL, ...ADD, ...set(a(j))],
    ]),
    ...[...get(N), 0x41, 1, 0x6b, 0x22, N, 0x0d, 0], // n = n - 1, again unless it is 0
    0x0b,
    ...[...get(a(0)), ...eight.slice(1).flatMap((j) => [...get(a(j)), ...ADD])],
    ...[0xfd, 0x1f, 0, 0x0b], // lane 0; end
  ];
  const sized = (bytes: number[]) =>
    bytes.length < 128
      ? [bytes.length, ...bytes]
      : [(bytes.length & 127) | 128, bytes.length >> 7, ...bytes];
  return Uint8Array.of(
    ...[0, 97, 115, 109, 1, 0, 0, 0], // magic, version
    ...[1, 6, 1, 0x60, 1, 0x7f, 1, 0x7d], // type: (i32) -> f32
    ...[3, 2, 1, 0], // one function
    ...[5, 3, 1, 0, 1], // a page of memory
    ...[7, 7, 1, 3, 114, 117, 110, 0, 0], // export "run"
    ...[10, ...sized([1, ...sized(code)])],
  );
}

const STEPS = 200_000;

/** A run of the loop, and how many floating-point operations it does. */
export async function ceiling(): Promise<{ run: () => void; flops: number }> {
  const { instance } = await WebAssembly.instantiate(ceilingModule());
  const { run } = instance.exports as { run: (steps: number) => number };
  return { run: () => void run(STEPS), flops: STEPS * 8 * 4 * 2 };
}
