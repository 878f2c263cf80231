import { verifyGolden } from './verify_golden.js';

verifyGolden('mamba1-adaln-group');
