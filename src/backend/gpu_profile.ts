/** Times each command on the GPU by itself, between two timestamps; for `aim bench`. */
import { DeviceError } from '../core/errors.js';
import { type Command, type Profile, tally } from './backend.js';
import { GPU_COPY_DST, GPU_COPY_SRC, GPU_MAP_MODE_READ, GPU_MAP_READ, GPU_QUERY_RESOLVE } from './gpu_flags.js';

/** Timestamps of a query set at most, as WebGPU allows. */
const QUERIES = 4096;

export class GpuProfiler {
  readonly rows: Profile = new Map();
  private readonly queries: GPUQuerySet;
  private readonly resolved: GPUBuffer;
  private commands: Command[] = [];
  private readonly reads: Promise<void>[] = [];

  constructor(private readonly device: GPUDevice) {
    if (!device.features.has('timestamp-query'))
      throw new DeviceError('a profile needs the WebGPU feature timestamp-query, which this device does not have.');
    this.queries = device.createQuerySet({ type: 'timestamp', count: QUERIES });
    this.resolved = device.createBuffer({ size: QUERIES * 8, usage: GPU_QUERY_RESOLVE | GPU_COPY_SRC });
  }

  /** A pass for one command. */
  pass(encoder: GPUCommandEncoder, command: Command): GPUComputePassEncoder {
    const at = this.commands.push(command) * 2 - 2;
    return encoder.beginComputePass({
      timestampWrites: { querySet: this.queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 },
    });
  }

  /** Whether the commands encoded so far must be submitted before the next. */
  get full(): boolean {
    return this.commands.length * 2 >= QUERIES;
  }

  /** Ends an encoder's commands: their times are copied out. Call `collect` after its submit. */
  resolve(encoder: GPUCommandEncoder): () => void {
    const { commands } = this;
    this.commands = [];
    if (commands.length === 0) return () => {};
    const size = commands.length * 16;
    const staging = this.device.createBuffer({ size, usage: GPU_MAP_READ | GPU_COPY_DST });
    encoder.resolveQuerySet(this.queries, 0, commands.length * 2, this.resolved, 0);
    encoder.copyBufferToBuffer(this.resolved, 0, staging, 0, size);
    return () => {
      this.reads.push(
        staging.mapAsync(GPU_MAP_MODE_READ).then(() => {
          const times = new BigUint64Array(staging.getMappedRange());
          commands.forEach((command, i) => {
            tally(this.rows, command, Number(times[2 * i + 1]! - times[2 * i]!) / 1e6);
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
