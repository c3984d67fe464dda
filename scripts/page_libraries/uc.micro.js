// In place of the package of this name: regular expressions know the categories of Unicode.
export const P = /\p{P}/u;
export const S = /\p{S}/u;
