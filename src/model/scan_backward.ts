/** The gradients of the two scans. Each runs several entries of its op and allocates the tensors that pass between them. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { blockOf, CHUNK, selectiveScan } from '../ops/selective_scan.js';
import { ceilDiv } from '../ops/spec.js';
import { ssd } from '../ops/ssd.js';

/** Tensors of `ssdBackward`: those of ssd.forward, and gradients of the same shapes. */
export type SsdGrads = Record<
  'xbc' | 'zxbcdt' | 'A_log' | 'dt_bias' | 'D' | 'dy' | 'dxbc' | 'dzxbcdt' | 'dA_log' | 'ddt_bias' | 'dD',
  Tensor
>;

/**
 * Gradient of ssd.forward from a zero state. Overwrites dxbc and the dt columns of dzxbcdt, whose other columns do not change.
 * Adds to dA_log, ddt_bias and dD.
 */
export function ssdBackward(be: Backend, t: SsdGrads, attrs: { ngroups: number; headdim: number; d_state: number }): void {
  const { dA_log, ddt_bias, dD, ...rest } = t;
  const grads = be.tensor([t.xbc.shape[0]!, 3, t.A_log.size]);
  be.run(ssd.backward, { ...rest, grads }, attrs);
  be.run(ssd.backward_sum, { grads, dA_log, dD, ddt_bias });
  be.free(grads);
}

/** Tensors of `selectiveScanBackward`: those of selective_scan.forward, and gradients of the same shapes. */
export type SelectiveScanGrads = Record<
  'x' | 'dt' | 'A_log' | 'bc' | 'D' | 'z' | 'dy' | 'dx' | 'ddt' | 'dA_log' | 'dbc' | 'dD' | 'dz',
  Tensor
>;

/**
 * Gradient of selective_scan.forward from a zero state. Overwrites dx, ddt, the B and C columns of dbc, and the z columns of dz.
 * Other columns of dbc and dz do not change. Adds to dA_log and dD.
 */
export function selectiveScanBackward(backend: Backend, t: SelectiveScanGrads): void {
  const { x, dt, A_log, bc, D, z, dy, dx, ddt, dbc, dA_log, dD, dz } = t;
  const [m, l, e] = x.shape as [number, number, number];
  const n = A_log.shape[1]!;
  const states = backend.tensor([m, ceilDiv(l, CHUNK), e, n]);
  const skip = backend.tensor([m, e]);
  const parts = backend.tensor([m, l, ceilDiv(e, blockOf(n)), 2 * n]);
  backend.run(selectiveScan.backward_states, { x, dt, A_log, bc, states, scan: ddt });
  backend.run(selectiveScan.backward_gate, { x, D, z, dy, scan: ddt, dx, dz, skip });
  backend.run(selectiveScan.backward, { x, dt, A_log, bc, states, dx, ddt, parts });
  backend.run(selectiveScan.backward_sum, { states, parts, skip, dbc, dA_log, dD });
  backend.free(states, skip, parts);
}
