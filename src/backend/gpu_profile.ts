/** Measures the time of each command on the GPU with two timestamps. For `aim bench`. */
import { DeviceError } from '../core/errors.js';
import { type Command, type Profile, tally } from './backend.js';
import { GPU_COPY_DST, GPU_COPY_SRC, GPU_MAP_MODE_READ, GPU_MAP_READ, GPU_QUERY_RESOLVE } from './gpu_flags.js';

/** The number of timestamps in a query set: the maximum that WebGPU allows. */
const QUERIES = 4096;

/** Collects timestamps of commands. Throws DeviceError if the device has no timestamps. */
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

  /** Begins a pass for one command, with a timestamp before and after it. */
  pass(encoder: GPUCommandEncoder, command: Command): GPUComputePassEncoder {
    const at = this.commands.push(command) * 2 - 2;
    return encoder.beginComputePass({
      timestampWrites: { querySet: this.queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 },
    });
  }

  /** True if the query set is full: submit the commands encoded so far before the next one. */
  get full(): boolean {
    return this.commands.length * 2 >= QUERIES;
  }

  /** Ends the commands of an encoder by copying their times out. Call the returned function after submitting. */
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

  /** Waits for all times, frees the query set and returns the profile. */
  async done(): Promise<Profile> {
    await Promise.all(this.reads);
    this.queries.destroy();
    this.resolved.destroy();
    return this.rows;
  }
}
