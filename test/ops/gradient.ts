/** Backward entries against central differences of the forward entry, in float64 on the reference backend. */
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import type { Tensor } from '../../src/core/tensor.js';
import type { AnyEntry } from '../../src/ops/spec.js';
import { type Case, inputs, normal, type OpCases, rng } from './harness.js';

const EPS = 1e-6;
const ATOL = 1e-5;
const RTOL = 1e-3;
/** What gradients hold in columns that the op does not read. */
const BESIDE = 0.5;

type Values = Record<string, ArrayLike<number>>;

/** How an op's gradients are checked; exported as `gradients` by test/ops/<op>.cases.ts. */
export interface Gradient {
  /** The forward entry. */
  entry: AnyEntry;
  cases: Case[];
  fill?: OpCases['fill'];
  /** Differentiated outputs; the others are computed and not looked at. */
  outputs: string[];
  /** What every element of d<output> is; random numbers otherwise. */
  cotangent?: number;
  /** Columns of an input's rows that the op reads, where it does not read all; the gradient of the others must be left alone. */
  columns?(c: Record<string, number>): Record<string, [from: number, to: number]>;
  /** What is differentiated, where it is not Σ output·d<output>: of the values now, and of those at first (outputs included). */
  loss?(now: Values, start: Values, c: Record<string, number>): number;
  /**
   * Runs the backward entries. `t` holds the forward tensors and, for every differentiated output, d<output>. `grad(name, base)`
   * is the tensor for the gradient of input `name`, filled with `base`: it must come back as base + gradient, and where base is
   * NaN, overwritten. With `parts` it has a leading dimension of as many partial sums. `work` makes a workspace of unspecified
   * contents.
   */
  backward(
    be: Backend,
    t: Record<string, Tensor>,
    c: Record<string, number>,
    grad: (name: string, base: number, parts?: number) => Tensor,
    work: (...shape: number[]) => Tensor,
  ): void;
}

/** What is wrong with the gradients of one case; every element of every input that has one is perturbed. */
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

  /** Whether the op reads element i of an input. */
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
