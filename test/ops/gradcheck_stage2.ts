/** Backward entries against central differences of the forward entry, in float64 on the reference backend. */
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import type { Tensor } from '../../src/core/tensor.js';
import { type Case, inputs, normal, type OpCases, rng } from './harness.js';

const EPS = 1e-6;
const ATOL = 1e-5;
const RTOL = 1e-3;

export interface GradCheck extends OpCases {
  /** Differentiated outputs; the others are computed and not looked at. */
  outputs: string[];
  /** What every element of d<output> is; random numbers otherwise. */
  cotangent?: number;
  /**
   * Runs the backward entries. `t` holds the forward tensors and, for every differentiated output, d<output>. `grad(name, base)`
   * is the tensor for the gradient of input `name`, filled with `base`: it must come back as base + gradient, and where base is
   * NaN, overwritten. `work` makes a workspace of unspecified contents.
   */
  backward(
    be: Backend,
    t: Record<string, Tensor>,
    c: Record<string, number>,
    grad: (name: string, base: number) => Tensor,
    work: (...shape: number[]) => Tensor,
  ): void;
}

/** What is wrong with the gradients of one case; every element of every input that has one is perturbed. */
export async function gradcheck(check: GradCheck, c: Case, seed: number): Promise<string[]> {
  const be = new ReferenceBackend();
  const values = inputs(check, c, seed);
  const attrs = Object.fromEntries(check.entry.attrNames.map((n) => [n, (c[n] as number) ?? 0]));
  const t: Record<string, Tensor> = {};
  for (const [name, v] of Object.entries(values)) t[name] = be.from(v.data, v.shape, v.spec.dtype ?? 'f32');

  const random = rng(seed ^ 0x5eed);
  const outputs = check.outputs.filter((name) => t[name]);
  const cotangents = outputs.map((name) => Float64Array.from({ length: t[name]!.size }, () => check.cotangent ?? normal(random)));
  const loss = async () => {
    be.run(check.entry, t as never, attrs as never);
    let sum = 0;
    for (const [i, name] of outputs.entries())
      for (const [q, y] of (await be.read(t[name]!)).entries()) sum += y * cotangents[i]![q]!;
    return sum;
  };

  await loss();
  outputs.forEach((name, i) => {
    t[`d${name}`] = be.from(cotangents[i]!, t[name]!.shape);
  });
  const grads: Record<string, { tensor: Tensor; base: number }> = {};
  const work = (...shape: number[]) => be.from(new Float64Array(shape.reduce((a, b) => a * b, 1)).fill(Number.NaN), shape);
  const grad = (name: string, base: number) => {
    const { shape, size } = t[name]!;
    const tensor = be.from(new Float64Array(size).fill(base), shape);
    grads[name] = { tensor, base: Number.isNaN(base) ? 0 : base };
    return tensor;
  };
  check.backward(be, t, c as Record<string, number>, grad, work);

  const wrong: string[] = [];
  for (const [name, { tensor, base }] of Object.entries(grads)) {
    const got = await be.read(tensor);
    const { data } = values[name]!;
    const at = (value: number, i: number) => {
      be.write(t[name]!, Float64Array.of(value), i);
      return loss();
    };
    for (let i = 0; i < data.length; i++) {
      const slope = ((await at(data[i]! + EPS, i)) - (await at(data[i]! - EPS, i))) / (2 * EPS);
      await at(data[i]!, i);
      const diff = Math.abs(got[i]! - base - slope);
      if (!(diff <= ATOL + RTOL * Math.abs(slope)))
        wrong.push(`${check.entry.key} ${JSON.stringify(c)}: d${name}[${i}] = ${got[i]! - base}, differences give ${slope}`);
    }
  }
  return wrong;
}
