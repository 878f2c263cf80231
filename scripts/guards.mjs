/**
 * `node scripts/guards.mjs [ENTRY]` counts what Dawn's compiler adds to the kernels so that no index leaves its array and no loop
 * runs for ever. It compiles every kernel on any adapter, a software one too, and reads the SPIR-V that the driver gets:
 *   clamps    indices of workgroup, private and function arrays that it could not prove
 *   counters  loops that it could not prove to end, which count in 64 bits
 * Indices of storage buffers are no part of this: there the hardware checks, or every index is clamped.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { bundle } from './bundle.mjs';

const DUMP = 'enable-dawn-features=dump_shaders';

/**
 * The guards of each kernel, by its label: { clamps, counters, loops }. `only`: text that entries must contain.
 * Indices that are clamped in the shader's own text look the same, so that kernels with clamps are compiled without robustness too, and
 * the clamps that they then have do not count.
 */
export async function guards(only = '') {
  const file = await bundle('test/ops/guards.ts');
  const found = await compiled(file, DUMP, { AIM_GUARDS: only });
  const clamped = [...found].filter(([, { clamps }]) => clamps).map(([label]) => label);
  if (!clamped.length) return found;
  const labels = { AIM_GUARDS: only, AIM_GUARDS_LABELS: clamped.join('\n') };
  for (const [label, { clamps }] of await compiled(file, `${DUMP},disable_robustness`, labels)) found.get(label).clamps -= clamps;
  return found;
}

/** What the program's kernels have when compiled with these toggles. */
async function compiled(file, toggles, given) {
  const env = { ...process.env, ...given, AIM_DAWN: `${process.env.AIM_DAWN ?? ''} ${toggles}` };
  const child = spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('close', resolve));
  const found = new Map();
  let label;
  let rows;
  const finish = () => {
    if (rows) found.set(label, countGuards(rows));
    rows = undefined;
  };
  for await (const row of createInterface({ input: child.stdout })) {
    if (row.startsWith('// kernel ')) label = row.slice('// kernel '.length);
    if (row === '/* Dumped SPIRV disassembly */') rows = [];
    else if (row === 'info:' || row.startsWith('// Dumped')) finish();
    else rows?.push(row);
  }
  finish();
  const code = await ended;
  if (code !== 0) throw new Error(`${file} ended with ${code}.`);
  return found;
}

/** Counts guards in a SPIR-V disassembly, given as rows. */
export function countGuards(rows) {
  /** Opcode and operands by the identifier of their result. */
  const made = new Map();
  const done = [];
  for (const row of rows) {
    const words = row.trim().split(/\s+/);
    if (words[1] === '=') made.set(words[0], words.slice(2));
    else done.push(words);
  }
  const is = (id, op) => made.get(id)?.[0] === op;
  /** A clamp of an index to the last of an array whose size is known: min(index, constant). */
  const clamped = (id) => {
    const [op, , , name, , last] = made.get(id) ?? [];
    return op === 'OpExtInst' && name === 'UMin' && is(last, 'OpConstant');
  };
  const full = (id) => {
    const [op, , value] = made.get(id) ?? [];
    return op === 'OpConstant' && value === '4294967295';
  };
  let clamps = 0;
  for (const [op, , , ...indices] of made.values()) if (op === 'OpAccessChain') clamps += indices.filter(clamped).length;
  // A counter begins at 2⁶⁴ - 1, as two words.
  const counters = done.filter(([op, , value]) => {
    const [kind, , ...parts] = made.get(value) ?? [];
    return op === 'OpStore' && kind === 'OpConstantComposite' && parts.length === 2 && parts.every(full);
  }).length;
  return { clamps, counters, loops: done.filter(([op]) => op === 'OpLoopMerge').length };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const all = [...(await guards(process.argv[2]))];
  for (const [label, { clamps, counters, loops }] of all)
    if (clamps || counters) console.log(`${label}: ${clamps} clamps, ${counters} counters of ${loops} loops`);
  const sum = (name) => all.reduce((n, [, g]) => n + g[name], 0);
  console.log(`${all.length} kernels: ${sum('clamps')} clamps, ${sum('counters')} counters of ${sum('loops')} loops`);
}
