/** Compares backward entries with central differences of the forward entry, in float64 on the reference backend. */
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import type { Tensor } from '../../src/core/tensor.js';
import type { AnyEntry, TensorSpec } from '../../src/ops/spec.js';
import { type Case, inputs, normal, type OpCases, rng } from './harness.js';

const EPS = 1e-6;
const ATOL = 1e-5;
const RTOL = 1e-3;
/** Value of gradients in columns that the op does not read: it must still be there after backward. */
const BESIDE = 0.5;

type Values = Record<string, ArrayLike<number>>;

/**
 * How the gradients of an op are checked: made from the spec by `defaultGradient`, or exported as `gradients` by
 * test/ops/<op>.cases.ts where the backward entries are several or have other names.
 */
export interface Gradient {
  /** The forward entry. */
  entry: AnyEntry;
  cases: Case[];
  fill?: OpCases['fill'];
  /** Outputs that are differentiated; others are computed but not used. */
  outputs: string[];
  /** Value of every element of d<output>; random numbers if not given. */
  cotangent?: number;
  /** Range of columns that the op reads of an input, if not all; the gradient of the others must stay as it was. */
  columns?(c: Record<string, number>): Record<string, [from: number, to: number]>;
  /** The differentiated function of the current and the first values (outputs included), if it is not Σ output·d<output>. */
  loss?(now: Values, start: Values, c: Record<string, number>): number;
  /**
   * Runs the backward entries. `t` holds the forward tensors and, for every differentiated output, d<output>. `grad(name, base)`
   * makes the tensor for the gradient of input `name`, filled with `base`. Backward must add to it, or overwrite it if base is NaN.
   * With `parts` it has a leading dimension of that many partial sums. `work` makes a workspace full of NaN.
   */
  backward(
    be: Backend,
    t: Record<string, Tensor>,
    c: Record<string, number>,
    grad: (name: string, base: number, parts?: number) => Tensor,
    work: (...shape: number[]) => Tensor,
  ): void;
}

/**
 * The check of an op with one backward entry whose tensors have the usual names: forward's own, d<output> for the gradient that
 * comes in and d<input> for one that goes out. A gradient that is `out` must be overwritten, one that is `inout` added to.
 */
export function defaultGradient(forward: AnyEntry, backward: AnyEntry, cases: Case[]): Gradient {
  const specs = forward.tensors as Record<string, TensorSpec>;
  const outputs = (forward.names as string[]).filter((name) => specs[name]!.io !== 'in' && backward.names.includes(`d${name}`));
  return {
    entry: forward,
    cases,
    outputs,
    backward(be, t, c, grad) {
      const tensors: Record<string, Tensor | undefined> = {};
      for (const name of backward.names as string[]) {
        const { io } = backward.tensors[name] as TensorSpec;
        const input = name.slice(1);
        if (specs[name] || outputs.includes(input)) tensors[name] = t[name];
        else if (name.startsWith('d') && specs[input]) tensors[name] = t[input] && grad(input, io === 'out' ? Number.NaN : 0.5);
        else
          throw new Error(
            `${backward.key}: ${name} is no tensor of ${forward.key}, nor the gradient of one (d<name>); ` +
              `rename it or write \`gradients\` in test/ops/${forward.op}.cases.ts.`,
          );
      }
      const attrs = Object.fromEntries((backward.attrNames as string[]).map((name) => [name, c[name] ?? 0]));
      be.run(backward, tensors as never, attrs as never);
    },
  };
}

/** Returns what is wrong with the gradients of one case, or []. Every element of every input with a gradient is perturbed. */
export async function gradcheck(check: Gradient, c: Case, seed: number): Promise<string[]> {
  const be = new ReferenceBackend();
  const dims = c as Record<string, number>;
  const values = inputs(check, c, seed);
  const attrs = Object.fromEntries(check.entry.attrNames.map((n) => [n, (c[n] as number) ?? 0]));
  const t: Record<string, Tensor> = {};
  for (const [name, v] of Object.entries(values)) t[name] = be.from(v.data, v.shape, v.spec.dtype ?? 'f32');

  const random = rng(seed ^ 0x5eed);
  const outputs = check.outputs.filter((name) => t[name]);
  const cotangents = outputs.map((name) => Float64Array.from({ length: t[name]!.size }, () => check.cotangent ?? normal(random)));
  const all = async () => Object.fromEntries(await Promise.all(Object.entries(t).map(async ([n, x]) => [n, await be.read(x)])));
  const forward = () => be.run(check.entry, t as never, attrs as never);
  forward();
  const start: Values = await all();
  const loss = async () => {
    if (check.loss) return check.loss(await all(), start, dims);
    forward();
    let sum = 0;
    for (const [i, name] of outputs.entries())
      for (const [q, y] of (await be.read(t[name]!)).entries()) sum += y * cotangents[i]![q]!;
    return sum;
  };
  outputs.forEach((name, i) => {
    t[`d${name}`] = be.from(cotangents[i]!, t[name]!.shape);
  });

  /** Returns a function that says if the op reads element i of an input. */
  const columnsOf = (name: string) => {
    const width = t[name]!.shape.at(-1) ?? 1;
    const [from, to] = check.columns?.(dims)[name] ?? [0, width];
    return (i: number) => i % width >= from && i % width < to;
  };
  const grads: Record<string, { tensor: Tensor; base: number; parts: number }> = {};
  const work = (...shape: number[]) => be.from(new Float64Array(shape.reduce((a, b) => a * b, 1)).fill(Number.NaN), shape);
  const grad = (name: string, base: number, parts?: number) => {
    const { shape, size } = t[name]!;
    const sums = parts ?? 1;
    const read = columnsOf(name);
    const tensor = be.from(
      Float64Array.from({ length: sums * size }, (_, i) => (read(i) ? base : BESIDE)),
      parts === undefined ? shape : [parts, ...shape],
    );
    grads[name] = { tensor, base, parts: sums };
    return tensor;
  };
  check.backward(be, t, dims, grad, work);

  const wrong: string[] = [];
  const report = (text: string) => wrong.push(`${check.entry.key} ${JSON.stringify(c)}: ${text}`);
  for (const [name, { tensor, base, parts }] of Object.entries(grads)) {
    const got = await be.read(tensor);
    const { data } = values[name]!;
    const read = columnsOf(name);
    const at = (value: number, i: number) => {
      be.write(t[name]!, Float64Array.of(value), i);
      return loss();
    };
    for (let i = 0; i < data.length; i++) {
      if (!read(i)) {
        if (got[i] !== BESIDE) report(`d${name}[${i}] = ${got[i]} was overwritten, but the op does not read ${name} there`);
        continue;
      }
      let gradient = 0;
      for (let p = 0; p < parts; p++) gradient += got[p * data.length + i]! - (Number.isNaN(base) ? 0 : base);
      const slope = ((await at(data[i]! + EPS, i)) - (await at(data[i]! - EPS, i))) / (2 * EPS);
      await at(data[i]!, i);
      if (!(Math.abs(gradient - slope) <= ATOL + RTOL * Math.abs(slope)))
        report(`d${name}[${i}] = ${gradient}, differences give ${slope}`);
    }
  }
  if (Object.keys(grads).length === 0) report('no gradient was asked for');
  return wrong;
}
