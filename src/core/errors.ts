/**
 * Base class of every error that a user can cause or meet. Each has a stable `code`, and a message that says what was wrong and
 * ends with what to do.
 */
export class AimError extends Error {
  // Names are literals, because a minifier renames classes.
  override readonly name: string = 'AimError';
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** An option or argument out of its range (`ERR_OPTION`). */
export class OptionError extends AimError {
  override readonly name = 'OptionError';
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_OPTION', message, options);
  }
}

/** A tensor whose shape or type does not fit an op (`ERR_SHAPE`). */
export class ShapeError extends AimError {
  override readonly name = 'ShapeError';
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_SHAPE', message, options);
  }
}

/** A checkpoint, safetensors file or config that cannot be used (`ERR_CHECKPOINT`). */
export class CheckpointError extends AimError {
  override readonly name = 'CheckpointError';
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_CHECKPOINT', message, options);
  }
}

/** A file or URL that cannot be read or written (`ERR_IO`). */
export class IoError extends AimError {
  override readonly name = 'IoError';
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_IO', message, options);
  }
}

/** No usable device, or the device failed or was lost (`ERR_DEVICE`). */
export class DeviceError extends AimError {
  override readonly name = 'DeviceError';
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_DEVICE', message, options);
  }
}

/** The device or WebAssembly memory is exhausted (`ERR_MEMORY`). */
export class OutOfMemoryError extends AimError {
  override readonly name = 'OutOfMemoryError';
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_MEMORY', message, options);
  }
}

/** Training cannot go on: a loss or gradient is not finite (`ERR_TRAINING`). */
export class TrainingError extends AimError {
  override readonly name = 'TrainingError';
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_TRAINING', message, options);
  }
}

/** Something was used after `dispose()` (`ERR_DISPOSED`). */
export class DisposedError extends AimError {
  override readonly name = 'DisposedError';
  constructor(what: string) {
    super('ERR_DISPOSED', `${what} was used after dispose(); create a new one.`);
  }
}
