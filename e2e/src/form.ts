/**
 * The guarantees have two forms: `make test` (E2E_FORM=short) plays of each promise what tells soonest that it broke,
 * `make e2e` and a file run by hand play everything.
 */
export const isLongForm = process.env['E2E_FORM'] !== 'short';
