/**
 * Every failure a user can cause or meet. All extend AimError and carry a stable `code`;
 * messages say what was wrong and end with what to do.
 */
export class AimError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** An option or argument out of its range (`ERR_OPTION`). */
export class OptionError extends AimError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_OPTION', message, options);
  }
}

/** A tensor whose shape or type does not fit an op (`ERR_SHAPE`). */
export class ShapeError extends AimError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_SHAPE', message, options);
  }
}

/** A checkpoint, safetensors file or config that cannot be used (`ERR_CHECKPOINT`). */
export class CheckpointError extends AimError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_CHECKPOINT', message, options);
  }
}

/** A file or URL that cannot be read or written (`ERR_IO`). */
export class IoError extends AimError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_IO', message, options);
  }
}

/** No usable device, or the device failed or was lost (`ERR_DEVICE`). */
export class DeviceError extends AimError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_DEVICE', message, options);
  }
}

/** The device or WebAssembly memory is exhausted (`ERR_MEMORY`). */
export class OutOfMemoryError extends AimError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_MEMORY', message, options);
  }
}

/** Something was used after `dispose()` (`ERR_DISPOSED`). */
export class DisposedError extends AimError {
  constructor(what: string) {
    super('ERR_DISPOSED', `${what} was used after dispose(); create a new one.`);
  }
}
