/** Times each command on the GPU by itself, between two timestamps; for `aim bench`. */
import { DeviceError } from '../errors.js';
import type { Profile } from './backend.js';

/** Timestamps of a query set at most, as WebGPU allows. */
const QUERIES = 4096;

export class GpuProfiler {
  readonly rows: Profile = new Map();
  private readonly queries: GPUQuerySet;
  private readonly resolved: GPUBuffer;
  private keys: { key: string; flops: number; bytes: number }[] = [];
  private readonly reads: Promise<void>[] = [];

  constructor(private readonly device: GPUDevice) {
    if (!device.features.has('timestamp-query'))
      throw new DeviceError('a profile needs the WebGPU feature timestamp-query, which this device does not have.');
    this.queries = device.createQuerySet({ type: 'timestamp', count: QUERIES });
    this.resolved = device.createBuffer({ size: QUERIES * 8, usage: GPU_QUERY_RESOLVE | GPU_COPY_SRC });
  }

  /** A pass for one command. */
  pass(encoder: GPUCommandEncoder, command: { key: string; flops: number; bytes: number }): GPUComputePassEncoder {
    const at = this.keys.push(command) * 2 - 2;
    return encoder.beginComputePass({
      timestampWrites: { querySet: this.queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 },
    });
  }

  /** Whether the commands encoded so far must be submitted before the next. */
  get full(): boolean {
    return this.keys.length * 2 >= QUERIES;
  }

  /** Ends an encoder's commands: their times are copied out. Call `collect` after its submit. */
  resolve(encoder: GPUCommandEncoder): () => void {
    const { keys } = this;
    this.keys = [];
    if (keys.length === 0) return () => {};
    const size = keys.length * 16;
    const staging = this.device.createBuffer({ size, usage: GPU_MAP_READ | GPU_COPY_DST });
    encoder.resolveQuerySet(this.queries, 0, keys.length * 2, this.resolved, 0);
    encoder.copyBufferToBuffer(this.resolved, 0, staging, 0, size);
    return () => {
      this.reads.push(
        staging.mapAsync(GPU_MAP_MODE_READ).then(() => {
          const times = new BigUint64Array(staging.getMappedRange());
          keys.forEach(({ key, flops, bytes }, i) => {
            const row = this.rows.get(key) ?? { ms: 0, calls: 0, flops: 0, bytes: 0 };
            row.ms += Number(times[2 * i + 1]! - times[2 * i]!) / 1e6;
            row.calls++;
            row.flops += flops;
            row.bytes += bytes;
            this.rows.set(key, row);
          });
          staging.destroy();
        }),
      );
    };
  }

  async done(): Promise<Profile> {
    await Promise.all(this.reads);
    this.queries.destroy();
    this.resolved.destroy();
    return this.rows;
  }
}

const GPU_MAP_READ = 0x1;
const GPU_COPY_SRC = 0x4;
const GPU_COPY_DST = 0x8;
const GPU_QUERY_RESOLVE = 0x200;
const GPU_MAP_MODE_READ = 0x1;
