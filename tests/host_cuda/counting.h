// Numbers that count the arithmetic done with them: float and double of a kernel, built for the CPU.
//
// To be included between cuda_on_host.h and a kernel's source. An addition, a multiplication, a
// division, a root or another function counts one; comparisons, minima and integers count nothing.

#include <type_traits>

namespace host_cuda {

template <class T> struct Counted {
    T value;
    static long long done;

    Counted() = default;
    template <class A, std::enable_if_t<std::is_arithmetic<A>::value, int> = 0>
    Counted(A number) : value((T)number) {}
    template <class U, std::enable_if_t<(sizeof(U) < sizeof(T)), int> = 0>
    Counted(Counted<U> narrow) : value(narrow.value) {}
    template <class U, std::enable_if_t<(sizeof(U) > sizeof(T)), int> = 0>
    explicit Counted(Counted<U> wide) : value((T)wide.value) {}
    template <class A, std::enable_if_t<std::is_arithmetic<A>::value, int> = 0>
    explicit operator A() const { return (A)value; }

    static Counted of(T result) {
        done += 1;
        return Counted(result);
    }
    friend Counted operator+(Counted a, Counted b) { return of(a.value + b.value); }
    friend Counted operator-(Counted a, Counted b) { return of(a.value - b.value); }
    friend Counted operator*(Counted a, Counted b) { return of(a.value * b.value); }
    friend Counted operator/(Counted a, Counted b) { return of(a.value / b.value); }
    friend Counted operator-(Counted a) { return Counted(-a.value); }
    Counted &operator+=(Counted b) { return *this = *this + b; }
    Counted &operator-=(Counted b) { return *this = *this - b; }
    Counted &operator*=(Counted b) { return *this = *this * b; }
    Counted &operator/=(Counted b) { return *this = *this / b; }
    friend bool operator<(Counted a, Counted b) { return a.value < b.value; }
    friend bool operator>(Counted a, Counted b) { return a.value > b.value; }
    friend bool operator<=(Counted a, Counted b) { return a.value <= b.value; }
    friend bool operator>=(Counted a, Counted b) { return a.value >= b.value; }
    friend bool operator==(Counted a, Counted b) { return a.value == b.value; }
    friend bool operator!=(Counted a, Counted b) { return a.value != b.value; }
};
template <class T> long long Counted<T>::done = 0;

using Double = Counted<double>;
using Float = Counted<float>;

static struct Report {
    ~Report() { fprintf(stderr, "counted %lld %lld\n", Float::done, Double::done); }
} report;

} // namespace host_cuda

inline host_cuda::Double sqrt(host_cuda::Double x) { return x.of(std::sqrt(x.value)); }
inline host_cuda::Double exp(host_cuda::Double x) { return x.of(std::exp(x.value)); }
inline host_cuda::Double log(host_cuda::Double x) { return x.of(std::log(x.value)); }
inline host_cuda::Double acos(host_cuda::Double x) { return x.of(std::acos(x.value)); }
inline host_cuda::Double atan2(host_cuda::Double y, host_cuda::Double x) {
    return x.of(std::atan2(y.value, x.value));
}
inline host_cuda::Double pow(host_cuda::Double x, host_cuda::Double y) {
    return x.of(std::pow(x.value, y.value));
}
inline host_cuda::Double floor(host_cuda::Double x) { return std::floor(x.value); }
inline host_cuda::Double ceil(host_cuda::Double x) { return std::ceil(x.value); }
inline host_cuda::Double fabs(host_cuda::Double x) { return std::fabs(x.value); }
inline host_cuda::Double fmin(host_cuda::Double a, host_cuda::Double b) {
    return std::fmin(a.value, b.value);
}
inline host_cuda::Double fmax(host_cuda::Double a, host_cuda::Double b) {
    return std::fmax(a.value, b.value);
}
inline host_cuda::Float sqrtf(host_cuda::Float x) { return x.of(std::sqrt(x.value)); }
inline host_cuda::Float floorf(host_cuda::Float x) { return std::floor(x.value); }
inline host_cuda::Float fabsf(host_cuda::Float x) { return std::fabs(x.value); }
inline host_cuda::Float fminf(host_cuda::Float a, host_cuda::Float b) {
    return std::fmin(a.value, b.value);
}
inline host_cuda::Float fmaxf(host_cuda::Float a, host_cuda::Float b) {
    return std::fmax(a.value, b.value);
}
inline host_cuda::Float __ldcg(const host_cuda::Float *p) { return *p; }
inline host_cuda::Float __fadd_rn(host_cuda::Float a, host_cuda::Float b) { return a + b; }
inline host_cuda::Float __fmul_rn(host_cuda::Float a, host_cuda::Float b) { return a * b; }
inline unsigned __float_as_uint(host_cuda::Float x) { return __float_as_uint(x.value); }
template <class T> bool isfinite(host_cuda::Counted<T> x) { return std::isfinite(x.value); }

#define double host_cuda::Double
#define float host_cuda::Float
