/** Mistakes in a shader, and differences between a shader and a spec, are reported with their places in shaders/. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseShader } from '../../scripts/wgsl.mjs';
import { WebGpuBackend } from '../../src/backend/webgpu.js';
import { assemble } from '../../src/backend/wgsl/assemble.js';
import { kernelOf } from '../../src/backend/wgsl/kernel.js';
import { DeviceError } from '../../src/core/errors.js';
import { linear } from '../../src/ops/linear.js';
import type { Piece, Section, ShaderFile } from '../../src/ops/shader_file.js';
import { silu } from '../../src/ops/silu.js';
import type { AnyEntry, GpuPass } from '../../src/ops/spec.js';
import { gpuDevice, NO_ADAPTER } from '../backends.js';
import { bytesOf, workgroupVariables } from '../wgsl_types.js';
import { DEFAULT_CAPS, planOf } from './launches.js';

const isFile = (piece: Piece): piece is ShaderFile => typeof piece !== 'string' && 'file' in piece;
const source = (file: string) => readFileSync(new URL(`../../shaders/${file}`, import.meta.url), 'utf8');

/** The file as it would be loaded with `from` replaced; its includes are those of `original`. */
function changed(original: ShaderFile, from: string, to: string): ShaderFile {
  const text = source(original.file!);
  expect(text).toContain(from);
  const parsed = parseShader(text.replace(from, to), original.file!);
  const includes = new Map<string, ShaderFile>();
  for (const pieces of [original.head, ...Object.values(original.sections).map((s) => s.pieces)])
    for (const piece of pieces) if (isFile(piece)) includes.set(piece.file!, piece);
  const linked = (pieces: readonly unknown[]) =>
    (pieces as (Exclude<Piece, string> | { include: string })[]).map((piece) =>
      'include' in piece ? includes.get(piece.include)! : piece,
    );
  const sections = Object.entries(parsed.sections as Record<string, Section>).map(([name, s]) => [
    name,
    { ...s, pieces: linked(s.pieces) },
  ]);
  return { ...original, head: linked(parsed.head), sections: Object.fromEntries(sections) };
}

/** Line and column, from 1, of a text in a file. */
function placeOf(text: string, wanted: string): string {
  const before = text.slice(0, text.indexOf(wanted)).split('\n');
  return `${before.length}:${before.at(-1)!.length + 1}`;
}

async function backend(): Promise<WebGpuBackend | undefined> {
  const device = await gpuDevice('default');
  return device && new WebGpuBackend(device);
}

/** Runs silu with another shader and returns the error. */
async function failure(be: WebGpuBackend, shader: ShaderFile): Promise<Error> {
  const entry = { ...silu.backward, shader } as typeof silu.backward;
  const x = be.from([1, 2, 3, 4], [1, 4]);
  const dx = be.tensor([1, 4]);
  be.run(entry, { x, dy: x, dx });
  const error = await be.read(dx).catch((e: Error) => e);
  be.dispose();
  expect(error).toBeInstanceOf(DeviceError);
  return error as Error;
}

describe('a mistake in a shader', () => {
  it('is reported with file, line, column and source line', async ({ skip }) => {
    const be = await backend();
    if (!be) return skip(NO_ADAPTER);
    const shader = changed(silu.backward.shader, 'dy_at(i) *', 'dz_at(i) *');
    const { message } = await failure(be, shader);
    const text = source('silu.wgsl').replace('dy_at(i) *', 'dz_at(i) *');
    expect(message).toContain(`shaders/silu.wgsl:${placeOf(text, 'dz_at')} unresolved call target 'dz_at'`);
    expect(message).toContain('\n    if (i < params.m * params.n) { dx_put(i, dz_at(i) * silu_slope(x_at(i))); }');
    expect(message).toMatch(/^the kernel silu\.backward [0-9a-f]{6} does not compile:\n/);
  });

  it('in an included file is reported with the place in that file', async ({ skip }) => {
    const be = await backend();
    if (!be) return skip(NO_ADAPTER);
    const { head } = silu.backward.shader;
    const lib = head.find(isFile)!;
    const wrong = changed(lib, 'exp(-x)', 'exp(-q)');
    const shader = { ...silu.backward.shader, head: head.map((piece) => (isFile(piece) ? wrong : piece)) };
    const { message } = await failure(be, shader);
    const text = source('lib/silu_slope.wgsl').replace('exp(-x)', 'exp(-q)');
    expect(message).toContain(`shaders/lib/silu_slope.wgsl:${placeOf(text, 'q)')} unresolved value 'q'`);
  });

  it('includes using a binding without its accessors', async ({ skip }) => {
    const be = await backend();
    if (!be) return skip(NO_ADAPTER);
    const { message } = await failure(be, changed(silu.backward.shader, 'dy_at(i) *', 'dy[i] *'));
    expect(message).toContain("unresolved value 'dy'");
  });
});

describe('a binding line that disagrees with the spec', () => {
  const kernel = (entry: AnyEntry, from: string, to: string) =>
    kernelOf({ ...entry, shader: changed(entry.shader, from, to) }, { workgroups: [1] }, new Set());
  const line = (file: string, wanted: string) => source(file).split('\n').indexOf(wanted) + 1;

  it.each([
    [
      'another shape',
      '// @in x: f32 [m, n]',
      '// @in x: f32 [n, m]',
      'says "in x: f32 [n, m]", but silu.forward in src/ops/silu.ts says "in x: f32 [m, n]"',
    ],
    ['another type', '// @in x: f32 [m, n]', '// @in x: u32 [m, n]', 'says "in x: u32 [m, n]", but silu.forward'],
    ['another access', '// @out y: f32 [m, n]', '// @inout y: f32 [m, n]', 'says "inout y: f32 [m, n]", but silu.forward'],
  ])('%s', (_what, from, to, message) => {
    const at = line('silu.wgsl', from);
    expect(() => kernel(silu.forward, from, to)).toThrow(`shaders/silu.wgsl:${at} ${message}`);
  });

  it('is an error if it is missing or superfluous', () => {
    const at = line('silu.wgsl', '// @entry forward, WG threads');
    expect(() => kernel(silu.forward, '// @in x: f32 [m, n]\n', '')).toThrow(
      `shaders/silu.wgsl:${at} entry forward has no line for x; silu.forward binds it: "// @in x: f32 [m, n]".`,
    );
    expect(() => kernel(silu.forward, '// @out y', '// @in z: f32 [m, n]\n// @out y')).toThrow(
      `shaders/silu.wgsl:${at + 2} binds z, but entry forward of silu.forward does not`,
    );
  });

  it('is an error if the shape in the spec differs', () => {
    const spec = { ...silu.forward, tensors: { ...silu.forward.tensors, y: { shape: 'n m', io: 'out' } } } as unknown as AnyEntry;
    const at = line('silu.wgsl', '// @out y: f32 [m, n]');
    expect(() => kernelOf(spec, { workgroups: [1] }, new Set())).toThrow(`shaders/silu.wgsl:${at} says "out y: f32 [m, n]"`);
  });
});

it('a plan that names a section, an entry or an include that its shader does not have is refused', () => {
  const make = (pass: object) => () => kernelOf(linear.forward as unknown as AnyEntry, { workgroups: [1], ...pass }, new Set());
  expect(make({ entry: 'nothing' })).toThrow('shaders/linear.wgsl has no section "// @section nothing"');
  expect(make({ entry: 'tile' })).toThrow('shaders/linear.wgsl has no entry "// @entry tile, SIZE threads"');
  expect(make({ sections: ['tile'], include: ['gemv/nothing'] })).toThrow('has no line #optional "lib/gemv/nothing.wgsl"');
});

it.each([
  ['// @entry forward, WG\nfn forward() {}', 'shaders/x.wgsl:1 an entry is'],
  ['// @entry forward, WG threads\nfn other() {}', 'shaders/x.wgsl:1 there is no function forward below'],
  ['// @section a\n// @section a', 'shaders/x.wgsl:2 there is a section a already'],
  ['\n// @in x: f32 [n]', 'shaders/x.wgsl:2 a binding belongs to a section'],
  ['// @exit', 'shaders/x.wgsl:1 "exit" is not known here'],
  ['const A =\n  1u;', 'shaders/x.wgsl:1 a const at the first column must end on its line'],
  ['#include lib/tile.wgsl', 'shaders/x.wgsl:1 #include has no file in quotation marks'],
  ['#repeat q', 'shaders/x.wgsl:1 #repeat needs a name and a number of times'],
  ['#end', 'shaders/x.wgsl:1 #end without #repeat'],
  ['#repeat q 4\nlet x$q = 1u;', 'shaders/x.wgsl:2 #repeat q 4 has no #end'],
])('the parser refuses %j', (text, message) => {
  expect(() => parseShader(text, 'x.wgsl')).toThrow(message);
});

/** The rows of silu's kernel if its forward entry began with this text. */
function bodyOf(text: string, constants: Record<string, number> = {}): string[] {
  const shader = changed(silu.forward.shader, 'fn forward(', `${text}\nfn forward(`);
  const kernel = kernelOf({ ...silu.forward, shader } as unknown as AnyEntry, { constants, workgroups: [1] }, new Set());
  const { code, places } = assemble(kernel);
  return code.split('\n').filter((_, i) => places[i]);
}

it('#repeat writes lines as often as a number or a constant of the plan says', () => {
  const rows = bodyOf('fn sums() {\n#repeat r R\n#repeat c 2\n  let s$r_$c = $r + $c;\n#end\n#end\n}', { R: 2 });
  expect(rows.filter((row) => row.startsWith('  let s') && row.includes('_'))).toEqual([
    '  let s0_0 = 0 + 0;',
    '  let s0_1 = 0 + 1;',
    '  let s1_0 = 1 + 0;',
    '  let s1_1 = 1 + 1;',
  ]);
  expect(() => bodyOf('#repeat r R\n#end')).toThrow(
    'shaders/silu.wgsl repeats lines R times, a constant that the plan does not have',
  );
});

/** Loops of a text that do not count from a number to a constant in steps of 1: compilers count the rounds of such loops themselves. */
const endless = (text: string): string[] =>
  [...text.matchAll(/\b(?:for \(([^{]*)\) \{|while\b|loop\b)/g)].flatMap(([loop, head]) => {
    const [, bound] =
      /^var (\w+) = \d+u; \1 < ((?:min|max|select|[A-Z][A-Z0-9_]*|\d+u?|[ ,()+*/=-])+); \1\+\+$/.exec(head ?? '')?.slice(1) ?? [];
    return bound ? [] : [loop];
  });

it('all but five loops in shaders count to a constant, so that compilers see them to end', () => {
  expect(endless('for (var q = 0u; q < (N + 3u) / 4u; q++) {')).toEqual([]);
  expect(endless('for (var q = 0u; q < n; q++) {')).toHaveLength(1);
  expect(endless('for (var q = 0u; q < N; q += 2u) {')).toHaveLength(1);
  const folder = new URL('../../shaders/', import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.wgsl'));
  const found = files.flatMap((file) =>
    endless(readFileSync(new URL(file, folder), 'utf8').replace(/\/\/.*/g, '')).map((loop) => `${file}: ${loop}`),
  );
  // Over blocks and bits whose number is known at run time alone; guards.test.ts has the kernels and the reasons. That over slices is
  // slower in the other form (docs/measurements.md).
  expect(found.sort()).toEqual([
    'lib/scatter_rows.wgsl: for (; mask != 0u; mask &= mask - 1u) {',
    'lib/ssd/block.wgsl: while',
    'lib/tile_f16.wgsl: for (var s = 0u; s < slices; s++) {',
    'ssd.wgsl: while',
    'ssd.wgsl: while',
  ]);
});

it('the generated text of a kernel and of a series', () => {
  const kernel = kernelOf(silu.forward as unknown as AnyEntry, { constants: { WG: 256 }, workgroups: [1] }, new Set());
  const { code, places } = assemble(kernel, { series: { slot: 1, x: 3, steps: [64, 0] } });
  const rows = code.split('\n');
  expect(places).toHaveLength(rows.length);
  expect(rows).toContain('fn x_at(at: u32) -> f32 { return f32(x_buffer[member * 64u + at]); }');
  expect(rows).toContain('fn y_put(at: u32, value: f32) { y_buffer[at] = f32(value); }');
  expect(rows).toContain('  forward(wg, vec3u(3u, nwg.yz), lid);');
  const lines = source('silu.wgsl').split('\n');
  // Every line of the file is where the map says.
  for (const [i, place] of places.entries()) if (place?.file === 'silu.wgsl') expect(rows[i]).toBe(lines[place.line - 1]);
  expect(assemble(kernel).code).not.toContain('member');
});

describe('AIM_DEBUG=shaders', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });
  it('prints the compiled text under a short label', async ({ skip }) => {
    const be = await backend();
    if (!be) return skip(NO_ADAPTER);
    const printed: string[] = [];
    vi.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
    const x = be.from([1, 2], [1, 2]);
    be.run(silu.forward, { x, y: be.tensor([1, 2]) });
    await be.settle();
    expect(printed).toEqual([]);
    vi.stubEnv('AIM_DEBUG', 'other,shaders');
    be.run(silu.backward, { x, dy: x, dx: be.tensor([1, 2]) });
    await be.settle();
    be.dispose();
    expect(printed).toHaveLength(1);
    expect(printed[0]).toMatch(/^\/\/ silu\.backward [0-9a-f]{6}\n/);
    expect(printed[0]).toContain('fn backward(wg: vec3u, nwg: vec3u, lid: u32) {');
  });
});

/** Names of the variables that a shader declares in a loop without a value. */
function withoutValue(text: string): string[] {
  const found: string[] = [];
  const blocks: boolean[] = [];
  let loop = false;
  for (const [token, name] of text.replace(/\/\/.*/g, '').matchAll(/\b(?:for|while|loop)\b|[{}]|\bvar\s+(\w+)\s*:[^;={}]*;/g)) {
    if (token === '{') {
      blocks.push(loop || blocks.at(-1) === true);
      loop = false;
    } else if (token === '}') blocks.pop();
    else if (name === undefined) loop = true;
    else if (blocks.at(-1)) found.push(name);
  }
  return found;
}

it('variables in loops have a value: Dawn clears them once, not each time around', () => {
  expect(
    withoutValue('fn f() { var a: f32; for (var i = 0u; i < 2u; i++) { if (true) { var b: array<f32, 2>; } var c = 0.0; } }'),
  ).toEqual(['b']);
  const folder = new URL('../../shaders/', import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.wgsl'));
  expect(files.length).toBeGreaterThan(50);
  for (const file of files) expect(withoutValue(readFileSync(new URL(file, folder), 'utf8')), file).toEqual([]);
});

it('workgroup memory is computed from declarations: constants, aliases and nested arrays', () => {
  const caps = { ...DEFAULT_CAPS, features: new Set(['subgroups', 'shader-f16']), subgroupMinSize: 32, subgroupMaxSize: 32 };
  const half = { ...caps, maxWorkgroupStorage: 32768, matrices: true, products: 'f16' as const };
  const bytes = (plan: GpuPass) => {
    const kernel = kernelOf(linear.forward as unknown as AnyEntry, plan, new Set());
    return workgroupVariables(kernel).map(([name, type]) => [name, bytesOf(type, kernel)]);
  };
  const plan = planOf(linear.forward as unknown as AnyEntry, { m: 128, n: 128, k: 64 }, half) as GpuPass;
  // 128 rows of 8 + 2 vectors of four halves, twice, and four blocks of 16 × 16 sums.
  expect(bytes(plan)).toEqual([
    ['tile_a', 10240],
    ['tile_b', 10240],
    ['tile_sums', 4096],
  ]);
  const wide = planOf(linear.forward as unknown as AnyEntry, { m: 1792, n: 1792, k: 20 }, caps) as GpuPass;
  expect(wide.sections).toEqual(['tile_wide']);
  expect(bytes(wide)).toEqual([
    ['tile_a', 4096],
    ['tile_b', 4096],
  ]);
});
