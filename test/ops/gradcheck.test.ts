/** Every backward, all its entries composed, against finite differences of the float64 reference forward. */
import { expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { sizeOf, type Tensor } from '../../src/core/tensor.js';
import { selectiveScanBackward, ssdBackward } from '../../src/model/scan_backward.js';
import { selectiveScan } from '../../src/ops/selective_scan.js';
import { ssd } from '../../src/ops/ssd.js';
import { normal, rng } from './harness.js';

type Tensors<K extends string> = Record<K, Tensor>;

interface Check<K extends string> {
  name: string;
  shapes: Record<K, number[]>;
  /** Columns of an input's rows that the op reads, where it does not read all; the gradient of the others is left alone. */
  columns?: { [Q in K]?: [number, number] };
  /** Inputs drawn this many times wider than a standard normal. */
  scale?: { [Q in K]?: number };
  /** Inputs whose gradient is added to; the others' is overwritten. */
  accumulates: K[];
  y: number[];
  forward(b: ReferenceBackend, t: Tensors<K>, y: Tensor): void;
  backward(b: ReferenceBackend, t: Tensors<K>, dy: Tensor, d: Tensors<K>): void;
}

const EPS = 1e-6;
const BEFORE = 0.5;

async function gradcheck<K extends string>(c: Check<K>): Promise<void> {
  const b = new ReferenceBackend();
  const random = rng(11);
  const names = Object.keys(c.shapes) as K[];
  const draw = (shape: number[], scale = 1) => Float64Array.from({ length: sizeOf(shape) }, () => scale * normal(random));
  const values = Object.fromEntries(names.map((n) => [n, draw(c.shapes[n], c.scale?.[n])])) as Record<K, Float64Array>;
  const t = Object.fromEntries(names.map((n) => [n, b.from(values[n], c.shapes[n])])) as Tensors<K>;
  const d = Object.fromEntries(
    names.map((n) => [n, b.from(new Float64Array(sizeOf(c.shapes[n])).fill(BEFORE), c.shapes[n])]),
  ) as Tensors<K>;
  const y = b.tensor(c.y);
  const weights = draw(c.y);
  const loss = async () => {
    c.forward(b, t, y);
    return Array.from(await b.read(y)).reduce((sum, v, i) => sum + v * weights[i]!, 0);
  };
  c.backward(b, t, b.from(weights, c.y), d);
  for (const n of names) {
    const got = await b.read(d[n]);
    const width = c.shapes[n].at(-1)!;
    const [from, to] = c.columns?.[n] ?? [0, width];
    const before = c.accumulates.includes(n) ? BEFORE : 0;
    for (let i = 0; i < got.length; i++) {
      if (i % width < from || i % width >= to) {
        expect(got[i], `d${n}[${i}] is not the op's`).toBe(BEFORE);
        continue;
      }
      const at = values[n][i]!;
      const around: number[] = [];
      for (const v of [at - EPS, at + EPS]) {
        b.write(t[n], Float64Array.of(v), i);
        around.push(await loss());
      }
      b.write(t[n], Float64Array.of(at), i);
      const want = (around[1]! - around[0]!) / (2 * EPS) + before;
      expect(Math.abs(got[i]! - want), `d${n}[${i}] = ${got[i]}, by differences ${want}`).toBeLessThanOrEqual(
        1e-5 + 1e-3 * Math.abs(want),
      );
    }
  }
}

function selectiveScanCheck([m, l, e, n, s, f]: [number, number, number, number, number, number]) {
  return {
    name: `selective_scan m ${m} l ${l} e ${e} n ${n}`,
    shapes: { x: [m, l, e], dt: [m, l, e], A_log: [e, n], bc: [m, l, s], D: [e], z: [m, l, f] },
    columns: { bc: [s - 2 * n, s], z: [f - e, f] },
    accumulates: ['A_log', 'D'],
    y: [m, l, e],
    forward: (b, t, y) => b.run(selectiveScan.forward, { ...t, y }),
    backward: (b, t, dy, { x: dx, dt: ddt, A_log: dA_log, bc: dbc, D: dD, z: dz }) =>
      selectiveScanBackward(b, { ...t, dy, dx, ddt, dA_log, dbc, dD, dz }),
  } satisfies Check<'x' | 'dt' | 'A_log' | 'bc' | 'D' | 'z'>;
}

function ssdCheck([m, l, h, headdim, d_state, ngroups, s]: [number, number, number, number, number, number, number]) {
  const e = h * headdim;
  const attrs = { ngroups, headdim, d_state };
  return {
    name: `ssd m ${m} l ${l} h ${h} p ${headdim} n ${d_state} g ${ngroups}`,
    shapes: { xbc: [m, l, e + 2 * ngroups * d_state], zxbcdt: [m, l, s], A_log: [h], dt_bias: [h], D: [h] },
    columns: { zxbcdt: [s - h, s] },
    accumulates: ['A_log', 'dt_bias', 'D'],
    y: [m, l, e],
    forward: (b, t, y) => b.run(ssd.forward, { ...t, y }, attrs),
    backward: (b, t, dy, { xbc: dxbc, zxbcdt: dzxbcdt, A_log: dA_log, dt_bias: ddt_bias, D: dD }) =>
      ssdBackward(b, { ...t, dy, dxbc, dzxbcdt, dA_log, ddt_bias, dD }, attrs),
  } satisfies Check<'xbc' | 'zxbcdt' | 'A_log' | 'dt_bias' | 'D'>;
}

const scans = [
  selectiveScanCheck([2, 3, 5, 3, 8, 9]),
  selectiveScanCheck([1, 18, 2, 4, 8, 2]),
  selectiveScanCheck([1, 1, 18, 2, 5, 20]),
];

it.each(scans)('$name', async (c) => gradcheck(c));

const ssds = [
  ssdCheck([2, 5, 4, 3, 5, 2, 7]),
  ssdCheck([1, 9, 2, 2, 4, 1, 2]),
  ssdCheck([2, 1, 1, 4, 3, 1, 3]),
  // Decays of nothing between ordinary ones.
  { ...ssdCheck([2, 12, 4, 2, 3, 1, 4]), name: 'ssd with large dt', scale: { zxbcdt: 10 } },
];

it.each(ssds)('$name', async (c) => gradcheck(c));
