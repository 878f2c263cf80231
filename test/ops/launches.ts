/** What the launches of an op's cases ask of a WebGPU device, read off their plans and shader texts. */
import { shaderCode } from '../../src/backend/webgpu.js';
import { BYTES } from '../../src/core/tensor.js';
import type { AnyEntry, GpuCaps, GpuPass, GpuPlan } from '../../src/ops/spec.js';
import { SHARED } from '../poison.js';
import type { Case } from './harness.js';

/** Limits of every WebGPU device, and no features. */
export const DEFAULT_CAPS: GpuCaps = {
  features: new Set<string>(),
  maxWorkgroupStorage: 16384,
  maxStorageBuffers: 8,
  maxInvocations: 256,
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  matrices: false,
  products: 'f32',
  choose: (_name, _candidates, usual) => usual,
};

/** Bytes that one binding may have by WebGPU's defaults. */
const BINDING = 2 ** 27;
/** Workgroups that a dimension of a launch may have. */
const WORKGROUPS = 65535;

export function planOf(entry: AnyEntry, c: Case, caps: GpuCaps): GpuPlan | undefined {
  const dims: Record<string, number> = {};
  for (const name of [...entry.dimNames, ...entry.attrNames]) dims[name] = (c[name] as number | undefined) ?? 0;
  return entry.webgpu(dims, caps, new Set(c.half ?? []));
}

export const passesOf = (plan: GpuPlan | undefined): GpuPass[] => (!plan ? [] : 'passes' in plan ? plan.passes : [plan]);

const text = (entry: AnyEntry, pass: GpuPass, c: Case) =>
  shaderCode(entry, pass.entry ?? entry.entry, pass, new Set(c.half ?? []));
const buffers = (code: string) => code.match(/var<storage/g)?.length ?? 0;

/** Whether a case is launches of its own here, rather than the parts of a composite. */
export function launches(entry: AnyEntry, c: Case, caps: GpuCaps): boolean {
  const plan = planOf(entry, c, caps);
  if (!entry.parts) return true;
  return plan !== undefined && passesOf(plan).every((pass) => buffers(text(entry, pass, c)) <= caps.maxStorageBuffers);
}

/** What a case's launches take beyond the limits of `caps`, as text. */
export function excess(entry: AnyEntry, c: Case, caps: GpuCaps): string[] {
  if (!launches(entry, c, caps)) return [];
  const plan = planOf(entry, c, caps)!;
  const wrong: string[] = [];
  const most = (what: string, got: number, limit: number) => {
    if (!(got <= limit)) wrong.push(`${entry.key} ${JSON.stringify(c)}: ${got} ${what}, at most ${limit}`);
  };
  for (const pass of passesOf(plan)) {
    const name = pass.entry ?? entry.entry;
    const code = text(entry, pass, c);
    const { threads, bytes } = workgroup(code, name);
    most(`storage buffers in ${name}`, buffers(code), caps.maxStorageBuffers);
    most(`invocations in ${name}`, threads, caps.maxInvocations);
    most(`bytes of workgroup memory in ${name}`, bytes, caps.maxWorkgroupStorage);
    for (const n of pass.workgroups) most(`workgroups of ${name}`, n ?? 1, WORKGROUPS);
    for (const feature of pass.enable ?? [])
      if (!caps.features.has(FEATURE[feature]!)) wrong.push(`${entry.key} ${JSON.stringify(c)}: ${feature} is not to be had`);
  }
  if ('passes' in plan)
    for (const [name, size] of Object.entries(plan.workspaces)) most(`bytes of ${name}`, size * BYTES.f32, BINDING);
  return wrong;
}

/** The device's feature behind a language extension. */
const FEATURE: Record<string, string> = {
  f16: 'shader-f16',
  subgroups: 'subgroups',
  chromium_experimental_subgroup_matrix: 'chromium-experimental-subgroup-matrix',
};

const BUILTINS: Record<string, unknown> = {
  select: (no: bigint, yes: bigint, choice: boolean) => (choice ? yes : no),
  min: (a: bigint, b: bigint) => (a < b ? a : b),
  max: (a: bigint, b: bigint) => (a > b ? a : b),
};

/** Threads and memory of a workgroup. Constants are worked out as WGSL does: in whole numbers, as BigInt has them. */
function workgroup(code: string, entry: string): { threads: number; bytes: number } {
  const declared = (pattern: RegExp) => Object.fromEntries([...code.matchAll(pattern)].map(([, name, is]) => [name!, is!]));
  const constants = declared(/^const (\w+)(?:: ?\w+)? ?= ?(.+);/gm);
  const aliases = declared(/^alias (\w+) ?= ?(.+);/gm);
  const scope: object = new Proxy(BUILTINS, {
    has: () => true,
    get: (builtins, name) => (constants[name as string] ? value(constants[name as string]!) : builtins[name as string]),
  });
  const value = (expression: string): bigint =>
    new Function('scope', `with (scope) return ${expression.replace(/\b(\d+)u?\b/g, '$1n')}`)(scope);
  const bytes = (type: string): bigint => {
    const array = /^array<(.+), ?([^<>]+)>$/.exec(type);
    if (array) return bytes(array[1]!) * value(array[2]!);
    if (aliases[type]) return bytes(aliases[type]);
    const plain = /^(?:vec([234])(?:[fui]|<(?:[fui]32|(f16))>)|[fui]32|(f16)|bool|atomic<u32>)$/.exec(type);
    if (!plain) throw new Error(`the size of ${type} is unknown`);
    // A vector of three takes as much as one of four.
    return (plain[1] ? (plain[1] === '2' ? 2n : 4n) : 1n) * (plain[2] || plain[3] ? 2n : 4n);
  };
  const shared = Object.values(declared(SHARED));
  if (shared.length !== (code.match(/var<workgroup/g)?.length ?? 0))
    throw new Error(`the workgroup memory of ${entry} cannot be read off its text`);
  let total = 0n;
  for (const type of shared) total += ((bytes(type) + 15n) / 16n) * 16n;
  const size = new RegExp(`@workgroup_size\\(([^)]+)\\)\\s*fn ${entry}\\b`).exec(code)![1]!;
  return { threads: size.split(',').reduce((n, s) => n * Number(value(s)), 1), bytes: Number(total) };
}
